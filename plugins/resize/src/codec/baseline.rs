//! Baseline JPEG at a half, a quarter or an eighth of its size, for speed: most of a photograph's bytes are fine detail,
//! and what is not wanted is passed over here several codes at a time instead of being decoded.
//!
//! It knows only what nearly all cameras and programs write. For everything else, and for whatever looks damaged, it
//! gives up, and libjpeg-turbo has the last word.

use plugin_api::Task;

use crate::{
    codec::{Layout, Plane, Sink},
    error::Trouble,
};

/// Why it ended without a picture.
pub(crate) enum End {
    /// The file is for the other decoder.
    Unfit,
    Trouble(Trouble),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

type Result<T> = std::result::Result<T, End>;

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
const END: u8 = 128;

/// Several codes of coefficients that nobody wants, in 16 bits: the bits of all of them with the values that follow the
/// codes (0 where a single code is longer), how many coefficients they stand for, and whether the block ends with them.
type Skip = u16;
const SKIP_COEFFICIENTS: u32 = 5;
const SKIP_END: u32 = 12;

struct Table {
    codes: Box<[Code; LOOKUPS]>,
    coefficients: Box<[Coefficient; LOOKUPS]>,
    skips: Box<[Skip; LOOKUPS]>,
    /// For longer codes: for each length, the first code that is too large for it, filled up to 16 bits.
    ends: [u32; 17],
    /// For each length, what to add to a code for its place among the symbols.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    fn new(counts: &[u8; 16], symbols: &[u8], is_ac: bool) -> Option<Self> {
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
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, beginning with the highest.
    buffer: u64,
    len: u32,
    made_up: u32,
}

impl Bits<'_> {
    /// Makes at least 32 bits available.
    #[inline(always)]
    fn fill(&mut self) {
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
    fn fill_slowly(&mut self) {
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
    fn peek(&self, bits: u32) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are at most 32 bits left"
        )]
        let value = (self.buffer >> (64 - bits)) as u32;
        value
    }

    #[inline(always)]
    fn pass(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.len = self.len.wrapping_sub(bits);
    }

    /// Whether bits were used that are not there.
    fn is_overrun(&self) -> bool {
        self.made_up > self.len
    }

    /// The next symbol.
    #[inline(always)]
    fn symbol(&mut self, table: &Table) -> Result<u8> {
        self.fill();
        let code = table.codes[self.window()];
        if code.len != 0 {
            self.pass(u32::from(code.len));
            return Ok(code.symbol);
        }
        self.long_symbol(table)
    }

    #[inline(never)]
    fn long_symbol(&mut self, table: &Table) -> Result<u8> {
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
    fn value(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let bits = self.peek(size).cast_signed();
        self.pass(size);
        signed(bits, size)
    }

    /// The next coefficient: the zeros before it, and its value.
    #[inline(always)]
    fn coefficient(&mut self, ac: &Table) -> Result<(u32, i32)> {
        self.fill();
        let entry = ac.coefficients[self.window()];
        if entry.bits != 0 {
            self.pass(u32::from(entry.bits));
            return Ok((u32::from(entry.run), i32::from(entry.value)));
        }
        self.long_coefficient(ac)
    }

    #[inline(never)]
    fn long_coefficient(&mut self, ac: &Table) -> Result<(u32, i32)> {
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
    fn window(&self) -> usize {
        (self.buffer >> (64 - LOOKUP_BITS)) as usize & (LOOKUPS - 1)
    }

    /// Goes behind the restart marker that must be next.
    fn restart(&mut self) -> Result<()> {
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

struct Component {
    id: u8,
    h: usize,
    v: usize,
    quantization: usize,
    dc: usize,
    ac: usize,
    /// Samples of a block in each direction.
    side: usize,
    last_dc: i32,
}

/// What stands before the scan.
#[derive(Default)]
struct Parsed<'a> {
    width: usize,
    height: usize,
    components: Vec<Component>,
    quantization: [Option<[i32; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    restart_interval: usize,
    scan: &'a [u8],
}

fn u16_at(data: &[u8], at: usize) -> Result<usize> {
    match data.get(at..at + 2) {
        Some(&[high, low]) => Ok(usize::from(high) << 8 | usize::from(low)),
        _ => Err(End::Unfit),
    }
}

fn parse(data: &[u8]) -> Result<Parsed<'_>> {
    let mut parsed = Parsed::default();
    let mut at = 2;
    loop {
        let Some(&[0xFF, marker]) = data.get(at..at + 2) else {
            return Err(End::Unfit);
        };
        if marker == 0xFF {
            at += 1;
            continue;
        }
        let len = u16_at(data, at + 2)?;
        let body = data.get(at + 4..at + 2 + len).ok_or(End::Unfit)?;
        at += 2 + len;
        match marker {
            0xC0 | 0xC1 => parse_frame(body, &mut parsed)?,
            0xC4 => parse_codes(body, &mut parsed)?,
            0xDB => parse_quantization(body, &mut parsed)?,
            0xDD => parsed.restart_interval = u16_at(body, 0)?,
            0xDA => {
                parse_scan(body, &mut parsed)?;
                parsed.scan = &data[at..];
                return Ok(parsed);
            }
            0xE0..=0xEF | 0xFE => {}
            _ => return Err(End::Unfit),
        }
    }
}

fn parse_frame(body: &[u8], parsed: &mut Parsed<'_>) -> Result<()> {
    if body.first() != Some(&8) || !parsed.components.is_empty() {
        return Err(End::Unfit);
    }
    parsed.height = u16_at(body, 1)?;
    parsed.width = u16_at(body, 3)?;
    let count = body.get(5).copied().map_or(0, usize::from);
    let components = body.get(6..6 + count * 3).ok_or(End::Unfit)?;
    for component in components.chunks_exact(3) {
        let (h, v) = (
            usize::from(component[1] >> 4),
            usize::from(component[1] & 15),
        );
        if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
            return Err(End::Unfit);
        }
        // The only component of a picture has no neighbours to be interleaved with.
        let (h, v) = if count == 1 { (1, 1) } else { (h, v) };
        parsed.components.push(Component {
            id: component[0],
            h,
            v,
            quantization: usize::from(component[2] & 3),
            dc: 0,
            ac: 0,
            side: 1,
            last_dc: 0,
        });
    }
    if parsed.width == 0 || parsed.height == 0 || !matches!(count, 1 | 3) {
        return Err(End::Unfit);
    }
    Ok(())
}

fn parse_codes(mut body: &[u8], parsed: &mut Parsed<'_>) -> Result<()> {
    while let Some((class, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>().ok_or(End::Unfit)?;
        let count = counts.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(count).ok_or(End::Unfit)?;
        let table = Table::new(counts, symbols, *class >= 0x10).ok_or(End::Unfit)?;
        let (tables, number) = match class {
            0..=3 => (&mut parsed.dc, class),
            0x10..=0x13 => (&mut parsed.ac, class),
            _ => return Err(End::Unfit),
        };
        tables[usize::from(number & 3)] = Some(table);
        body = rest;
    }
    Ok(())
}

fn parse_quantization(mut body: &[u8], parsed: &mut Parsed<'_>) -> Result<()> {
    while let Some((number, rest)) = body.split_first() {
        let (step, wide) = match number {
            0..=3 => (1, false),
            0x10..=0x13 => (2, true),
            _ => return Err(End::Unfit),
        };
        let (values, rest) = rest.split_at_checked(64 * step).ok_or(End::Unfit)?;
        let mut table = [0; 64];
        for (entry, value) in table.iter_mut().zip(values.chunks_exact(step)) {
            *entry = i32::from(value[0]);
            if wide {
                *entry = *entry << 8 | i32::from(value[1]);
            }
        }
        parsed.quantization[usize::from(number & 3)] = Some(table);
        body = rest;
    }
    Ok(())
}

fn parse_scan(body: &[u8], parsed: &mut Parsed<'_>) -> Result<()> {
    let count = parsed.components.len();
    if body.first().map(|byte| usize::from(*byte)) != Some(count) || count == 0 {
        return Err(End::Unfit);
    }
    for (component, entry) in parsed.components.iter_mut().zip(body[1..].chunks_exact(2)) {
        if entry[0] != component.id {
            return Err(End::Unfit);
        }
        component.dc = usize::from(entry[1] >> 4 & 3);
        component.ac = usize::from(entry[1] & 3);
    }
    // All coefficients, all of their bits.
    match body.get(1 + count * 2..) {
        Some([0, 63, 0]) => Ok(()),
        _ => Err(End::Unfit),
    }
}

/// Decodes into planes whose blocks have `side` samples in each direction: 1, 2 or 4. Those of chroma that is smaller
/// have more, so that there is half as much of it in each direction, or with `has_fine_chroma` as much.
pub(crate) fn decode(
    data: &[u8],
    side: usize,
    has_fine_chroma: bool,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let mut parsed = parse(data)?;
    let h_max = parsed
        .components
        .iter()
        .map(|component| component.h)
        .max()
        .unwrap_or(1);
    let v_max = parsed
        .components
        .iter()
        .map(|component| component.v)
        .max()
        .unwrap_or(1);
    for component in &mut parsed.components {
        let wanted = if has_fine_chroma { 1 } else { 2 };
        let is_enough = |times: usize| {
            component.h * times * wanted >= h_max && component.v * times * wanted >= v_max
        };
        let times = [1, 2, 4].into_iter().find(|times| is_enough(*times));
        component.side = side * times.unwrap_or(8);
        if component.side > 4 {
            return Err(End::Unfit);
        }
    }
    let (width, height) = (parsed.width, parsed.height);
    let size = |component: &Component| {
        (
            (width * component.h * component.side).div_ceil(h_max * 8),
            (height * component.v * component.side).div_ceil(v_max * 8),
        )
    };
    let sizes: Vec<_> = parsed.components.iter().map(size).collect();
    let share = |factor: usize, side: usize, most: usize| {
        crate::scale::to_f64(factor * side) / crate::scale::to_f64(most * 8)
    };
    let planes = parsed
        .components
        .iter()
        .zip(&sizes)
        .map(|(component, (width, height))| Plane {
            width: *width,
            height: *height,
            factor: (
                share(component.h, component.side, h_max),
                share(component.v, component.side, v_max),
            ),
        });
    let planes = planes.collect();
    sink.begin(&Layout::Planes {
        planes,
        is_full_range: true,
    })?;
    let (mcu_columns, mcu_rows) = (width.div_ceil(h_max * 8), height.div_ceil(v_max * 8));
    let mut bands: Vec<Vec<u8>> = parsed
        .components
        .iter()
        .map(|component| {
            vec![0; mcu_columns * component.h * component.side * component.v * component.side]
        })
        .collect();
    let mut bits = Bits {
        data: parsed.scan,
        at: 0,
        buffer: 0,
        len: 0,
        made_up: 0,
    };
    let mut until_restart = parsed.restart_interval;
    for mcu_row in 0..mcu_rows {
        task.check().map_err(|error| End::Trouble(error.into()))?;
        for mcu_column in 0..mcu_columns {
            if parsed.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart()?;
                    parsed
                        .components
                        .iter_mut()
                        .for_each(|component| component.last_dc = 0);
                    until_restart = parsed.restart_interval;
                }
                until_restart -= 1;
            }
            decode_mcu(
                &mut parsed,
                &mut bits,
                &mut bands,
                (mcu_column, mcu_columns),
            )?;
        }
        if bits.is_overrun() {
            return Err(End::Unfit);
        }
        for (number, component) in parsed.components.iter().enumerate() {
            let (width, height) = sizes[number];
            let stride = mcu_columns * component.h * component.side;
            let rows = component.v * component.side;
            let rows = rows.min(height - (mcu_row * rows).min(height));
            let band = &mut bands[number];
            for row in 1..rows {
                band.copy_within(row * stride..row * stride + width, row * width);
            }
            sink.rows(number, &band[..rows * width])?;
        }
    }
    Ok(())
}

fn decode_mcu(
    parsed: &mut Parsed<'_>,
    bits: &mut Bits<'_>,
    bands: &mut [Vec<u8>],
    (column, columns): (usize, usize),
) -> Result<()> {
    for (component, band) in parsed.components.iter_mut().zip(bands) {
        let (Some(dc), Some(ac), Some(quantization)) = (
            &parsed.dc[component.dc],
            &parsed.ac[component.ac],
            &parsed.quantization[component.quantization],
        ) else {
            return Err(End::Unfit);
        };
        let side = component.side;
        let stride = columns * component.h * side;
        for y in 0..component.v {
            for x in 0..component.h {
                let at = y * side * stride + (column * component.h + x) * side;
                let size = u32::from(bits.symbol(dc)?);
                if size > 11 {
                    return Err(End::Unfit);
                }
                component.last_dc = component.last_dc.wrapping_add(bits.value(size));
                let dc = component.last_dc.wrapping_mul(quantization[0]);
                match side {
                    1 => {
                        skip_block(bits, ac, 1)?;
                        band[at] = sample(dc, 3);
                    }
                    2 => {
                        let [a, b, c] = coefficients_of_2(bits, ac, quantization)?;
                        let (top, bottom) = (dc.wrapping_add(b), dc.wrapping_sub(b));
                        let (plus, minus) = (a.wrapping_add(c), a.wrapping_sub(c));
                        band[at] = sample(top.wrapping_add(plus), 3);
                        band[at + 1] = sample(top.wrapping_sub(plus), 3);
                        band[at + stride] = sample(bottom.wrapping_add(minus), 3);
                        band[at + stride + 1] = sample(bottom.wrapping_sub(minus), 3);
                    }
                    _ => {
                        let block = coefficients_of_4(bits, ac, quantization, dc)?;
                        for (row, samples) in inverse_of_4(&block).iter().enumerate() {
                            band[at + row * stride..][..4].copy_from_slice(samples);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// A sample of `value` with `shift` bits of fraction, around the middle of the range.
#[inline]
fn sample(value: i32, shift: u32) -> u8 {
    let rounded = value.wrapping_add(1 << (shift - 1)) >> shift;
    u8::try_from(rounded.wrapping_add(128).clamp(0, 255)).unwrap_or(u8::MAX)
}

/// Passes over the rest of a block, from the coefficient `at` on.
#[inline(always)]
fn skip_block(bits: &mut Bits<'_>, ac: &Table, mut at: u32) -> Result<()> {
    while at < 64 {
        bits.fill();
        let skip = u32::from(ac.skips[bits.window()]);
        let after = at.wrapping_add(skip >> SKIP_COEFFICIENTS & 63);
        let is_end = skip >> SKIP_END;
        if skip != 0 && after.wrapping_add(is_end) <= 64 {
            bits.pass(skip & 31);
            if is_end != 0 {
                return Ok(());
            }
            at = after;
            continue;
        }
        // The last codes of a block that is full to the end, or a long one.
        let (run, _) = bits.long_coefficient(ac)?;
        if run == u32::from(END) {
            return Ok(());
        }
        at = at.wrapping_add(run).wrapping_add(1);
        if at > 64 {
            return Err(End::Unfit);
        }
    }
    Ok(())
}

/// The coefficients from the second to the one at `last`, in the order of the file; then the rest is passed over.
#[inline(always)]
fn first_coefficients(
    bits: &mut Bits<'_>,
    ac: &Table,
    quantization: &[i32; 64],
    last: u32,
) -> Result<[i32; 32]> {
    let mut found = [0; 32];
    let mut at = 1_u32;
    while at <= last {
        let (run, value) = bits.coefficient(ac)?;
        at = at.wrapping_add(run);
        if at > last {
            if run == u32::from(END) {
                return Ok(found);
            }
            at = at.wrapping_add(1);
            break;
        }
        let place = (at & 31) as usize;
        found[place] = value.wrapping_mul(quantization[place]);
        at = at.wrapping_add(1);
    }
    if at > 64 {
        return Err(End::Unfit);
    }
    skip_block(bits, ac, at)?;
    Ok(found)
}

/// The first two coefficients across and down, but for the first: right, below, and both.
#[inline(always)]
fn coefficients_of_2(
    bits: &mut Bits<'_>,
    ac: &Table,
    quantization: &[i32; 64],
) -> Result<[i32; 3]> {
    let found = first_coefficients(bits, ac, quantization, 4)?;
    Ok([found[1], found[2], found[4]])
}

/// The first four coefficients across and down.
#[inline(always)]
fn coefficients_of_4(
    bits: &mut Bits<'_>,
    ac: &Table,
    quantization: &[i32; 64],
    dc: i32,
) -> Result<[[i32; 4]; 4]> {
    let f = first_coefficients(bits, ac, quantization, 24)?;
    // Where they stand in the file is a zigzag.
    Ok([
        [dc, f[1], f[5], f[6]],
        [f[2], f[4], f[7], f[13]],
        [f[3], f[8], f[12], f[17]],
        [f[9], f[11], f[18], f[24]],
    ])
}

/// The inverse cosine transform of four by four, of coefficients that were made for eight by eight.
#[inline]
fn inverse_of_4(block: &[[i32; 4]; 4]) -> [[u8; 4]; 4] {
    // cos(π/8) and cos(3π/8), times the square root of two, in 12 bits of fraction.
    const C1: i32 = 5352;
    const C3: i32 = 2217;
    #[inline]
    fn four(a: i32, b: i32, c: i32, d: i32) -> [i32; 4] {
        let (even, odd) = (a.wrapping_add(c) << 12, a.wrapping_sub(c) << 12);
        let outer = b.wrapping_mul(C1).wrapping_add(d.wrapping_mul(C3));
        let inner = b.wrapping_mul(C3).wrapping_sub(d.wrapping_mul(C1));
        [
            even.wrapping_add(outer),
            odd.wrapping_add(inner),
            odd.wrapping_sub(inner),
            even.wrapping_sub(outer),
        ]
    }
    let mut middle = [[0; 4]; 4];
    for column in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| block[row][column]);
        for (row, value) in four(a, b, c, d).into_iter().enumerate() {
            // Four bits of fraction stay.
            middle[row][column] = value.wrapping_add(1 << 7) >> 8;
        }
    }
    middle.map(|[a, b, c, d]| four(a, b, c, d).map(|value| sample(value, 19)))
}
