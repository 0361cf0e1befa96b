//! AV1's sequence header, as far as it tells what colours mean. Some files say so nowhere else.

use super::isobmff::Nclx;

/// What a stream says of its colours (AV1 Bitstream & Decoding Process Specification, 5.5). `None` where it has no
/// sequence header that is whole.
pub(super) fn colors(mut stream: &[u8]) -> Option<Nclx> {
    const SEQUENCE_HEADER: u8 = 1;
    loop {
        let (head, rest) = stream.split_first()?;
        let (kind, has_extension, has_len) = (head >> 3 & 15, head & 4 != 0, head & 2 != 0);
        let rest = rest.get(usize::from(has_extension)..)?;
        let (len, rest) = if has_len {
            leb128(rest)?
        } else {
            (rest.len(), rest)
        };
        let (body, after) = rest.split_at_checked(len)?;
        if kind == SEQUENCE_HEADER {
            return sequence_header(&mut Bits { data: body, at: 0 });
        }
        stream = after;
    }
}

fn leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (index * 7);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &data[index + 1..]));
        }
    }
    None
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, bits: u32) -> Option<()> {
        self.at += bits as usize;
        (self.at <= self.data.len() * 8).then_some(())
    }

    /// A number after as many zeros as it has bits.
    fn skip_number_of_any_length(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        self.skip(if zeros < 32 { zeros } else { 0 })
    }
}

fn sequence_header(bits: &mut Bits<'_>) -> Option<Nclx> {
    let profile = bits.number(3)?;
    bits.skip(1)?;
    let is_reduced = bits.flag()?;
    if is_reduced {
        bits.skip(5)?;
    } else {
        skip_operating_points(bits)?;
    }
    let (width_bits, height_bits) = (bits.number(4)? + 1, bits.number(4)? + 1);
    bits.skip(width_bits + height_bits)?;
    if !is_reduced && bits.flag()? {
        bits.skip(7)?;
    }
    bits.skip(3)?;
    if !is_reduced {
        skip_tools_of_video(bits)?;
    }
    bits.skip(3)?;
    color_config(bits, profile)
}

fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.skip_number_of_any_length()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.number(5)? + 1);
            bits.skip(42)?;
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.number(5)? {
        bits.skip(12)?;
        if bits.number(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(delay_bits * 2 + 1)?;
        }
        if has_display_delay && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

fn skip_tools_of_video(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let has_order = bits.flag()?;
    if has_order {
        bits.skip(2)?;
    }
    let uses_screen_tools = bits.flag()? || bits.flag()?;
    if uses_screen_tools && !bits.flag()? {
        bits.skip(1)?;
    }
    if has_order {
        bits.skip(3)?;
    }
    Some(())
}

fn color_config(bits: &mut Bits<'_>, profile: u32) -> Option<Nclx> {
    let is_deep = bits.flag()?;
    if profile == 2 && is_deep {
        bits.skip(1)?;
    }
    let is_monochrome = profile != 1 && bits.flag()?;
    let is_described = bits.flag()?;
    let mut number = || {
        // What is not said has the number 2.
        let number = if is_described { bits.number(8)? } else { 2 };
        u16::try_from(number).ok()
    };
    let (primaries, transfer, matrix) = (number()?, number()?, number()?);
    let is_rgb = (primaries, transfer, matrix) == (1, 13, 0);
    Some(Nclx {
        primaries,
        transfer,
        matrix,
        is_full_range: (is_rgb && !is_monochrome) || bits.flag()?,
    })
}
