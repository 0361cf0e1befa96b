//! What stands before the scan.

use super::{End, Result, codes::Table};

pub(super) struct Component {
    pub(super) id: u8,
    pub(super) h: usize,
    pub(super) v: usize,
    pub(super) quantization: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
    /// Samples of a block in each direction.
    pub(super) side: usize,
    pub(super) last_dc: i32,
}

/// What stands before the scan.
#[derive(Default)]
pub(super) struct Parsed<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Component>,
    pub(super) quantization: [Option<[i32; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    pub(super) restart_interval: usize,
    pub(super) scan: &'a [u8],
}

fn u16_at(data: &[u8], at: usize) -> Result<usize> {
    match data.get(at..at + 2) {
        Some(&[high, low]) => Ok(usize::from(high) << 8 | usize::from(low)),
        _ => Err(End::Unfit),
    }
}

/// The place of the table with this number. There are four of each kind.
fn table(number: u8) -> Result<usize> {
    match number {
        0..=3 => Ok(usize::from(number)),
        _ => Err(End::Unfit),
    }
}

pub(super) fn parse(data: &[u8]) -> Result<Parsed<'_>> {
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
            quantization: table(component[2])?,
            dc: 0,
            ac: 0,
            side: 1,
            last_dc: 0,
        });
    }
    // So many blocks stand together at most, as the standard has it.
    let blocks: usize = parsed.components.iter().map(|part| part.h * part.v).sum();
    if parsed.width == 0 || parsed.height == 0 || !matches!(count, 1 | 3) || blocks > 10 {
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
        component.dc = table(entry[1] >> 4)?;
        component.ac = table(entry[1] & 15)?;
    }
    // All coefficients, all of their bits.
    match body.get(1 + count * 2..) {
        Some([0, 63, 0]) => Ok(()),
        _ => Err(End::Unfit),
    }
}
