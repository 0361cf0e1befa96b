//! Huffman codes: tables that are asked with the next bits, and the bits.

use super::{End, Result};

/// How many bits of the input tables are asked with.
const LOOKUP_BITS: u32 = 12;

const LOOKUPS: usize = 1 << LOOKUP_BITS;

/// A code: its length, and what it stands for.
#[derive(Clone, Copy, Default)]
struct Code {
    /// 0: none of at most `LOOKUP_BITS`.
    len: u8,
    symbol: u8,
}

/// A coefficient: its code and its value.
#[derive(Clone, Copy, Default)]
struct Coefficient {
    /// How many bits both have together; 0 where they don't fit into `LOOKUP_BITS`.
    bits: u8,
    /// Zeros before it, or `END`.
    run: u8,
    value: i16,
}

/// A run beyond every block: the rest of it is zeros.
pub(super) const END: u8 = 128;

/// Several codes of coefficients that nobody wants, in 16 bits: the bits of all of them with the values that follow the
/// codes (0 where a single code is longer), how many coefficients they stand for, and whether the block ends with them.
type Skip = u16;

pub(super) const SKIP_COEFFICIENTS: u32 = 5;

pub(super) const SKIP_END: u32 = 12;

pub(super) struct Table {
    codes: Box<[Code; LOOKUPS]>,
    coefficients: Box<[Coefficient; LOOKUPS]>,
    pub(super) skips: Box<[Skip; LOOKUPS]>,
    /// For longer codes: for each length, the first code that is too large for it, filled up to 16 bits.
    ends: [u32; 17],
    /// For each length, what to add to a code for its place among the symbols.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// None where there can be no such table.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8], is_ac: bool) -> Option<Self> {
        // A first coefficient's is how many bits it has.
        if !is_ac && symbols.iter().any(|bits| *bits > 15) {
            return None;
        }
        let mut table = Self {
            codes: Box::new([Code::default(); LOOKUPS]),
            coefficients: Box::new([Coefficient::default(); LOOKUPS]),
            skips: Box::new([0; LOOKUPS]),
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0_u32, 0_usize);
        for len in 1..=16_u32 {
            let count = usize::from(counts[len as usize - 1]);
            table.offsets[len as usize] = i32::try_from(place).ok()? - i32::try_from(code).ok()?;
            for symbol in symbols.get(place..place + count)? {
                if code >= 1 << len {
                    return None;
                }
                if len <= LOOKUP_BITS {
                    let first = (code << (LOOKUP_BITS - len)) as usize;
                    let entry = Code {
                        len: u8::try_from(len).ok()?,
                        symbol: *symbol,
                    };
                    table.codes[first..first + (1 << (LOOKUP_BITS - len))].fill(entry);
                }
                code += 1;
            }
            place += count;
            table.ends[len as usize] = code << (16 - len);
            code <<= 1;
        }
        if is_ac {
            for window in 0..1_u32 << LOOKUP_BITS {
                table.coefficients[window as usize] = table.coefficient(window)?;
                table.skips[window as usize] = table.skip(window);
            }
        }
        Some(table)
    }

    fn coefficient(&self, window: u32) -> Option<Coefficient> {
        let code = self.codes[window as usize];
        let (run, size) = (code.symbol >> 4, u32::from(code.symbol & 15));
        let len = u32::from(code.len);
        if len == 0 || len + size > LOOKUP_BITS {
            return Some(Coefficient::default());
        }
        let bits = u8::try_from(len + size).ok()?;
        if size == 0 {
            let run = if run == 15 { 15 } else { END };
            return Some(Coefficient {
                bits,
                run,
                value: 0,
            });
        }
        let value = i32::try_from(window >> (LOOKUP_BITS - len - size) & ((1 << size) - 1)).ok()?;
        let value = i16::try_from(signed(value, size)).ok()?;
        Some(Coefficient { bits, run, value })
    }

    fn skip(&self, window: u32) -> Skip {
        let (mut bits, mut coefficients, mut is_end) = (0_u32, 0_u32, false);
        while bits < LOOKUP_BITS && !is_end {
            let rest = window << bits & ((1 << LOOKUP_BITS) - 1);
            let code = self.codes[rest as usize];
            let (run, size) = (u32::from(code.symbol >> 4), u32::from(code.symbol & 15));
            let after = bits + u32::from(code.len) + size;
            let is_whole = code.len != 0 && bits + u32::from(code.len) <= LOOKUP_BITS;
            if !is_whole || after > 31 || coefficients + run + 1 > 63 {
                break;
            }
            bits = after;
            if size == 0 && run != 15 {
                is_end = true;
            } else {
                coefficients += run + 1;
            }
        }
        let packed = bits | coefficients << SKIP_COEFFICIENTS | u32::from(is_end) << SKIP_END;
        u16::try_from(packed).unwrap_or(0)
    }
}

/// A value of `size` bits; those whose highest bit is 0 are negative.
#[inline(always)]
fn signed(bits: i32, size: u32) -> i32 {
    // All ones where the highest bit is 0.
    let mask = (bits >> (size.wrapping_sub(1) & 31)).wrapping_sub(1);
    bits.wrapping_add(mask & (-1_i32 << (size & 31)).wrapping_add(1))
}

/// The bits of a scan. After its end there are zeros, which are counted.
pub(super) struct Bits<'a> {
    pub(super) data: &'a [u8],
    pub(super) at: usize,
    /// The next bits, beginning with the highest.
    pub(super) buffer: u64,
    pub(super) len: u32,
    pub(super) made_up: u32,
}

impl Bits<'_> {
    /// Makes at least 32 bits available.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        if self.len >= 32 {
            return;
        }
        if let Some(bytes) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*bytes);
            let inverse = !word;
            // No byte of it is 0xFF.
            if inverse.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 == 0 {
                self.buffer |= word >> self.len;
                let taken = (63 - self.len) >> 3;
                self.at += taken as usize;
                self.len += taken * 8;
                // What of the word is beyond the whole bytes comes again.
                self.buffer &= !(u64::MAX >> self.len);
                return;
            }
        }
        self.fill_slowly();
    }

    #[inline(never)]
    pub(super) fn fill_slowly(&mut self) {
        while self.len <= 48 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(0xFF), _) | (None, _) => {
                    self.made_up = self.made_up.saturating_add(8);
                    0
                }
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.len);
            self.len += 8;
        }
    }

    #[inline(always)]
    pub(super) fn peek(&self, bits: u32) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are at most 32 bits left"
        )]
        let value = (self.buffer >> (64 - bits)) as u32;
        value
    }

    #[inline(always)]
    pub(super) fn pass(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.len = self.len.wrapping_sub(bits);
    }

    /// Whether bits were used that are not there.
    pub(super) fn is_overrun(&self) -> bool {
        self.made_up > self.len
    }

    /// The next symbol.
    #[inline(always)]
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8> {
        self.fill();
        let code = table.codes[self.window()];
        if code.len != 0 {
            self.pass(u32::from(code.len));
            return Ok(code.symbol);
        }
        self.long_symbol(table)
    }

    #[inline(never)]
    pub(super) fn long_symbol(&mut self, table: &Table) -> Result<u8> {
        let window = self.peek(16);
        for len in LOOKUP_BITS + 1..=16 {
            if window < table.ends[len as usize] {
                let code = i32::try_from(window >> (16 - len)).map_err(|_| End::Unfit)?;
                let place = usize::try_from(code + table.offsets[len as usize]);
                let place = place.map_err(|_| End::Unfit)?;
                self.pass(len);
                return table.symbols.get(place).copied().ok_or(End::Unfit);
            }
        }
        Err(End::Unfit)
    }

    #[inline(always)]
    pub(super) fn value(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let bits = self.peek(size).cast_signed();
        self.pass(size);
        signed(bits, size)
    }

    /// The next coefficient: the zeros before it, and its value.
    #[inline(always)]
    pub(super) fn coefficient(&mut self, ac: &Table) -> Result<(u32, i32)> {
        self.fill();
        let entry = ac.coefficients[self.window()];
        if entry.bits != 0 {
            self.pass(u32::from(entry.bits));
            return Ok((u32::from(entry.run), i32::from(entry.value)));
        }
        self.long_coefficient(ac)
    }

    #[inline(never)]
    pub(super) fn long_coefficient(&mut self, ac: &Table) -> Result<(u32, i32)> {
        let symbol = self.symbol(ac)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && run != 15 {
            return Ok((u32::from(END), 0));
        }
        self.fill();
        Ok((run, self.value(size)))
    }

    /// What tables are asked with.
    #[inline(always)]
    pub(super) fn window(&self) -> usize {
        (self.buffer >> (64 - LOOKUP_BITS)) as usize & (LOOKUPS - 1)
    }

    /// Goes behind the restart marker that must be next.
    pub(super) fn restart(&mut self) -> Result<()> {
        if self.is_overrun() {
            return Err(End::Unfit);
        }
        // Whole bytes may have been read ahead, but never over a marker.
        let marker = self.data.get(self.at..self.at + 2).ok_or(End::Unfit)?;
        if self.len.wrapping_sub(self.made_up) >= 8 || !matches!(marker, [0xFF, 0xD0..=0xD7]) {
            return Err(End::Unfit);
        }
        self.at += 2;
        (self.buffer, self.len, self.made_up) = (0, 0, 0);
        Ok(())
    }
}
