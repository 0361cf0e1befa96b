//! Where the frames of a client end (RFC 6455, 5.2), whatever is in them: also those that are refused, and never read.

const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 8;
const IS_MASKED: u8 = 0x80;
const KEY_LEN: u64 = 4;

/// Follows what a client sends, in any pieces, up to the end of its close frame.
#[derive(Debug, Default)]
pub(super) struct Frames {
    position: Position,
    is_close: bool,
    is_over: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Position {
    #[default]
    Start,
    /// After the first byte of a frame.
    Opcode,
    /// Among the bytes of a long length: how many are missing, and what the others said.
    Length { missing: u8, len: u64, key_len: u64 },
    /// After the length: so many bytes of the key and the payload are missing.
    Rest(u64),
}

impl Frames {
    /// Whether the client has closed the socket. What comes after that is no frame.
    pub(super) fn are_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while let Some((byte, after)) = bytes.split_first()
            && !self.is_over
        {
            if let Position::Rest(missing) = self.position {
                let len = usize::try_from(missing).map_or(bytes.len(), |len| len.min(bytes.len()));
                bytes = &bytes[len..];
                self.position = Position::Rest(missing - len as u64);
            } else {
                bytes = after;
                self.head(*byte);
            }
            if let Position::Rest(0) = self.position {
                self.position = Position::Start;
                self.is_over = self.is_close;
            }
        }
    }

    fn head(&mut self, byte: u8) {
        self.position = match self.position {
            Position::Start => {
                self.is_close = byte & OPCODE == CLOSE;
                Position::Opcode
            }
            Position::Opcode => {
                let key_len = if byte & IS_MASKED == 0 { 0 } else { KEY_LEN };
                let long = |missing| Position::Length {
                    missing,
                    len: 0,
                    key_len,
                };
                match byte & !IS_MASKED {
                    126 => long(2),
                    127 => long(8),
                    len => Position::Rest(key_len + u64::from(len)),
                }
            }
            Position::Length {
                missing,
                len,
                key_len,
            } => {
                let len = len << 8 | u64::from(byte);
                match missing {
                    0 | 1 => Position::Rest(key_len.saturating_add(len)),
                    _ => Position::Length {
                        missing: missing - 1,
                        len,
                        key_len,
                    },
                }
            }
            Position::Rest(missing) => Position::Rest(missing),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head and so much of a payload.
    fn frame(head: &[u8], len: usize) -> Vec<u8> {
        [head, &vec![0x88; len]].concat()
    }

    #[test]
    fn the_close_frame_is_found_in_any_pieces() {
        let before = [
            // Of all lengths, masked by a key that looks like a close frame.
            frame(&[0x81, 0x80, 0x88, 0x80, 0x88, 0x80], 0),
            frame(&[0x01, 0xfd, 0x88, 0x80, 0x88, 0x80], 125),
            frame(&[0x89, 0x80, 0x88, 0x80, 0x88, 0x80], 0),
            frame(&[0x80, 0xfe, 0x01, 0x88, 0x88, 0x80, 0x88, 0x80], 0x188),
            frame(
                &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 1, 2, 0x88, 0x80, 0x88, 0x80],
                0x102,
            ),
            // Not masked, which isn't allowed, and with bits that mean nothing.
            frame(&[0xf3, 0x00], 0),
            frame(&[0x81, 0x03], 3),
        ]
        .concat();
        let close = frame(&[0x88, 0x85, 1, 2, 3, 4], 5);
        let all = [&before[..], &close].concat();
        for split in 0..=all.len() {
            let mut frames = Frames::default();
            frames.read(&all[..split]);
            assert_eq!(frames.are_over(), split == all.len(), "{split}");
            frames.read(&all[split..]);
            assert!(frames.are_over(), "{split}");
        }
        let mut frames = Frames::default();
        for (at, byte) in all.iter().enumerate() {
            assert!(!frames.are_over(), "{at}");
            frames.read(&[*byte]);
        }
        assert!(frames.are_over());
        frames.read(b"no frame");
        assert!(frames.are_over());
    }

    #[test]
    fn lengths_beyond_all_bounds_never_end() {
        let mut frames = Frames::default();
        frames.read(&[0x88, 0xff]);
        frames.read(&[0xff; 8]);
        frames.read(&[0; 100_000]);
        assert!(!frames.are_over());
    }
}
