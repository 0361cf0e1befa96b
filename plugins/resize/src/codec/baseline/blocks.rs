//! Blocks: the few coefficients that are wanted, the rest passed over, and samples made of them.

use super::{
    End, Result,
    codes::{Bits, END, SKIP_COEFFICIENTS, SKIP_END, Table},
};

/// A sample of `value` with `shift` bits of fraction, around the middle of the range.
#[inline]
pub(super) fn sample(value: i32, shift: u32) -> u8 {
    let rounded = value.wrapping_add(1 << (shift - 1)) >> shift;
    u8::try_from(rounded.wrapping_add(128).clamp(0, 255)).unwrap_or(u8::MAX)
}

/// Passes over the rest of a block, from the coefficient `at` on.
#[inline(always)]
pub(super) fn skip_block(bits: &mut Bits<'_>, ac: &Table, mut at: u32) -> Result<()> {
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
pub(super) fn coefficients_of_2(
    bits: &mut Bits<'_>,
    ac: &Table,
    quantization: &[i32; 64],
) -> Result<[i32; 3]> {
    let found = first_coefficients(bits, ac, quantization, 4)?;
    Ok([found[1], found[2], found[4]])
}

/// The first four coefficients across and down.
#[inline(always)]
pub(super) fn coefficients_of_4(
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
pub(super) fn inverse_of_4(block: &[[i32; 4]; 4]) -> [[u8; 4]; 4] {
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
