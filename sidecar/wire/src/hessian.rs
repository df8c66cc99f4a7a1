//! Hessian 2 (motan-wire 5.5): what Java programs write by default. Parameters follow one another; a result is one value.

mod read;
mod write;

use std::borrow::Cow;
use std::rc::Rc;

pub use read::{NotHessian, read};
pub use write::write;
pub(crate) use write::{class, int, null, object, string};

/// Serialization number of Hessian 2.
pub const NUMBER: u8 = 0;

/// One value. Containers are shared: a body may refer to one several times.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number of 32 bits; Java's `byte` and `short` too.
    Int(i32),
    /// A number of 64 bits.
    Long(i64),
    /// A number; Java's `float` too.
    Double(f64),
    /// Milliseconds since 1970.
    Date(i64),
    /// Text.
    String(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A list or an array.
    List(Rc<[Value<'a>]>),
    /// A map.
    Map(Rc<[(Value<'a>, Value<'a>)]>),
    /// An object: as many values as its class has fields.
    Object(Rc<Class>, Rc<[Value<'a>]>),
}

/// The class of objects.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The names of its fields.
    pub fields: Vec<String>,
}

#[cfg(test)]
mod tests;
