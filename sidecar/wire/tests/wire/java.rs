//! What Java's own writer of Motan 1 does, made apart from ours and more slowly.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

/// A Motan 1 request as Java writes it: byte by byte into a buffer that is sent whenever it holds 1024.
pub(crate) struct Java {
    stream: Vec<u8>,
    buffer: Vec<u8>,
    record: usize,
}

impl Java {
    pub(crate) fn new(record: usize) -> Self {
        Self {
            stream: vec![0xac, 0xed, 0, 5],
            buffer: Vec::new(),
            record,
        }
    }

    pub(crate) fn data(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.buffer.len() == self.record {
                self.send();
            }
            self.buffer.push(*byte);
        }
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.data(&u16::try_from(text.len()).unwrap().to_be_bytes());
        self.data(text);
    }

    fn send(&mut self) {
        let length = self.buffer.len();
        match u8::try_from(length) {
            Ok(0) => return,
            Ok(length) => self.stream.extend([0x77, length]),
            Err(_) => {
                self.stream.push(0x7a);
                self.stream.extend(u32::try_from(length).unwrap().to_be_bytes());
            }
        }
        self.stream.append(&mut self.buffer);
    }

    pub(crate) fn parameters(&mut self, parameters: &[Option<Vec<u8>>]) -> Vec<u8> {
        self.send();
        let start = self.stream.len();
        let mut described = false;
        for parameter in parameters {
            let Some(bytes) = parameter else {
                self.stream.push(0x70);
                continue;
            };
            let class: &[u8] = if described {
                b"\x75\x71\x00\x7e\x00\x00"
            } else {
                b"\x75\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70"
            };
            described = true;
            self.stream.extend(class);
            self.stream
                .extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
            self.stream.extend(bytes);
        }
        self.stream[start..].to_vec()
    }

    pub(crate) fn frame(mut self, id: u64) -> Vec<u8> {
        self.send();
        let length = u32::try_from(self.stream.len()).unwrap();
        let mut frame = vec![0xf1, 0xf1, 0, 0];
        frame.extend(id.to_be_bytes());
        frame.extend((length + 16).to_be_bytes());
        frame.extend([0xf0, 0xf0, 1, 0]);
        frame.extend(id.to_be_bytes());
        frame.extend(length.to_be_bytes());
        frame.append(&mut self.stream);
        frame
    }
}
