//! The corpus as data: `corpus.json`, read into rows.

use serde::Deserialize;

/// One thing to send, and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What is odd in it.
    pub(crate) name: String,
    /// The bytes, in pieces: a character is a byte.
    send: Vec<Piece>,
    /// The statuses that come back on the connection, in order, before it is closed: of each the ones that are allowed.
    /// An empty list: the connection is closed without a word.
    pub(crate) answers: Vec<Vec<u16>>,
    /// What the program received: none or one.
    #[serde(default)]
    pub(crate) received: Option<Expected>,
}

/// What the program must have received.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// The request line without its version.
    pub(crate) line: String,
    #[serde(default)]
    pub(crate) body: String,
    /// Value of the only Host.
    pub(crate) host: String,
    /// Headers that may be there beside those that the mesh adds: everything else that was sent must be gone.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Piece {
    Once(String),
    Many { text: String, times: usize },
}

impl Row {
    /// The rows.
    pub(crate) fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("corpus.json")).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text: String = self.send.iter().map(Piece::text).collect();
        text.chars()
            .map(|letter| u8::try_from(u32::from(letter)).expect("a character of the corpus is a byte"))
            .collect()
    }
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Self::Once(text) => text.clone(),
            Self::Many { text, times } => text.repeat(*times),
        }
    }
}
