//! Which Rust types are which `simple` values. Few on purpose; for the rest there is [`Value`] itself.

use std::collections::BTreeMap;

use wire::value::{self, Value};

use crate::error::Undecodable;

/// A type that can be an argument.
pub trait Argument {
    /// The value that is sent.
    fn to_value(&self) -> Value<'_>;
}

macro_rules! arguments {
    ($($type:ty => |$it:ident| $value:expr;)*) => {$(
        impl Argument for $type {
            fn to_value(&self) -> Value<'_> {
                let $it = self;
                $value
            }
        }
    )*};
}

arguments! {
    str => |it| Value::String(it.as_bytes());
    String => |it| Value::String(it.as_bytes());
    [u8] => |it| Value::Bytes(it);
    Vec<u8> => |it| Value::Bytes(it);
    bytes::Bytes => |it| Value::Bytes(it);
    bool => |it| Value::Bool(*it);
    u8 => |it| Value::Byte(*it);
    i16 => |it| Value::Int16(*it);
    i32 => |it| Value::Int32(*it);
    i64 => |it| Value::Int64(*it);
    f32 => |it| Value::Float32(*it);
    f64 => |it| Value::Float64(*it);
    Vec<String> => |it| Value::StringArray(it.iter().map(String::as_bytes).collect());
    BTreeMap<String, String> => |it| Value::StringMap(it.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect());
    Value<'_> => |it| it.clone();
}

impl<T: Argument + ?Sized> Argument for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

/// Nothing is null.
impl<T: Argument> Argument for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

/// The arguments of a call: a tuple of up to six, `()` for none.
pub trait Arguments {
    /// Appends them.
    fn write(self, body: &mut Vec<u8>);
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
            #[allow(non_snake_case, unused_variables, reason = "a type and its value share a name; () has neither")]
            fn write(self, body: &mut Vec<u8>) {
                let ($($name,)*) = self;
                $(value::write(body, &$name.to_value());)*
            }
        }
    )*};
}

tuples! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

/// A type that an answer can be read as.
pub trait Reply: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// A value of another type.
    fn from_value(value: Value<'_>) -> Result<Self, Undecodable>;
}

/// Whatever came is passed over.
impl Reply for () {
    fn from_value(_: Value<'_>) -> Result<Self, Undecodable> {
        Ok(())
    }
}

impl<T: Reply> Reply for Option<T> {
    fn from_value(value: Value<'_>) -> Result<Self, Undecodable> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! replies {
    ($($type:ty, $name:literal => $($pattern:pat => $it:expr),+;)*) => {$(
        impl Reply for $type {
            fn from_value(value: Value<'_>) -> Result<Self, Undecodable> {
                let wrong = Undecodable::Type { found: name(&value), wanted: $name };
                let read: Option<Self> = match value {
                    $($pattern => $it,)+
                    _ => None,
                };
                read.ok_or(wrong)
            }
        }
    )*};
}

// Numbers are read from any whole number that fits: PHP and OpenResty send them all in 64 bits (motan-wire 5.2).
replies! {
    String, "UTF-8 text" => Value::String(bytes) => text(bytes);
    Vec<u8>, "bytes" => Value::String(bytes) | Value::Bytes(bytes) => Some(bytes.to_vec());
    bool, "a boolean" => Value::Bool(it) => Some(it);
    u8, "a byte" => Value::Byte(it) => Some(it);
    i16, "a 16-bit number" => Value::Int16(it) => Some(it), Value::Int32(it) => it.try_into().ok(), Value::Int64(it) => it.try_into().ok();
    i32, "a 32-bit number" => Value::Int16(it) => Some(it.into()), Value::Int32(it) => Some(it), Value::Int64(it) => it.try_into().ok();
    i64, "a 64-bit number" => Value::Int16(it) => Some(it.into()), Value::Int32(it) => Some(it.into()), Value::Int64(it) => Some(it);
    f32, "a 32-bit fraction" => Value::Float32(it) => Some(it);
    f64, "a 64-bit fraction" => Value::Float32(it) => Some(it.into()), Value::Float64(it) => Some(it);
    Vec<String>, "an array of strings" => Value::StringArray(items) => items.into_iter().map(text).collect(),
        Value::Array(items) => items.into_iter().map(|item| String::from_value(item).ok()).collect();
    BTreeMap<String, String>, "a map of strings" =>
        Value::StringMap(pairs) => pairs.into_iter().map(|(k, v)| Some((text(k)?, text(v)?))).collect(),
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(k, v)| Some((String::from_value(k).ok()?, String::from_value(v).ok()?)))
            .collect();
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

const fn name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::String(_) => "a string",
        Value::StringMap(_) => "a map of strings",
        Value::Bytes(_) => "bytes",
        Value::StringArray(_) => "an array of strings",
        Value::Bool(_) => "a boolean",
        Value::Byte(_) => "a byte",
        Value::Int16(_) => "a 16-bit number",
        Value::Int32(_) => "a 32-bit number",
        Value::Int64(_) => "a 64-bit number",
        Value::Float32(_) => "a 32-bit fraction",
        Value::Float64(_) => "a 64-bit fraction",
        Value::Map(_) => "a map",
        Value::Array(_) => "an array",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Reply>(arguments: impl Arguments) -> Result<T, String> {
        let mut body = Vec::new();
        arguments.write(&mut body);
        let value = value::Values::new(&body).next().unwrap().unwrap();
        T::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_sent_is_read_as_the_same_type() {
        assert_eq!(back::<String>(("Ray",)).as_deref(), Ok("Ray"));
        assert_eq!(back::<Vec<u8>>((&b"ab"[..],)).as_deref(), Ok(&b"ab"[..]));
        assert_eq!(back::<bool>((true,)), Ok(true));
        assert_eq!(back::<u8>((200_u8,)), Ok(200));
        assert_eq!(back::<i16>((-2_i16,)), Ok(-2));
        assert_eq!(back::<i32>((i32::MIN,)), Ok(i32::MIN));
        assert_eq!(back::<i64>((i64::MIN,)), Ok(i64::MIN));
        assert_eq!(back::<f32>((1.5_f32,)), Ok(1.5));
        assert_eq!(back::<f64>((-2.25,)), Ok(-2.25));
        assert_eq!(back::<Option<i32>>((None::<i32>,)), Ok(None));
        assert_eq!(back::<()>(("whatever",)), Ok(()));
        let many = vec!["a".to_owned(), "bc".to_owned()];
        assert_eq!(back::<Vec<String>>((&many,)), Ok(many));
        let map = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(back::<BTreeMap<String, String>>((&map,)), Ok(map));
    }

    #[test]
    fn whole_numbers_are_read_in_any_width_that_fits() {
        assert_eq!(back::<i32>((7_i64,)), Ok(7));
        assert_eq!(back::<i64>((7_i16,)), Ok(7));
        assert_eq!(
            back::<i32>((1_i64 << 40,)),
            Err("it is a 64-bit number, not a 32-bit number".to_owned())
        );
    }

    #[test]
    fn another_type_is_named() {
        assert_eq!(
            back::<String>((true,)),
            Err("it is a boolean, not UTF-8 text".to_owned())
        );
        assert_eq!(
            back::<i32>((None::<i32>,)),
            Err("it is null, not a 32-bit number".to_owned())
        );
        assert_eq!(
            back::<String>((Value::String(b"\xff"),)),
            Err("it is a string, not UTF-8 text".to_owned())
        );
    }
}
