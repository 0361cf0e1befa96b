//! Pictures that look to a codec like photographs: soft gradients, noise of many sizes, edges, a little grain.

/// RGB in 8 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rgb {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) bytes: Vec<u8>,
}

/// A whole number that looks like chance, of two others.
fn hash(x: u32, y: u32, seed: u32) -> u32 {
    let mut value = x
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add(y.wrapping_mul(0x85EB_CA77))
        .wrapping_add(seed.wrapping_mul(0xC2B2_AE3D));
    value ^= value >> 15;
    value = value.wrapping_mul(0x2C1B_3C6D);
    value ^= value >> 12;
    value = value.wrapping_mul(0x297A_2D39);
    value ^ (value >> 15)
}

fn unit(value: u32) -> f32 {
    (value >> 8) as f32 / 16_777_216.0
}

/// Noise between lattice points, 0 to 1.
fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (smooth(x - x0), smooth(y - y0));
    let (x0, y0) = (x0 as u32, y0 as u32);
    let at = |dx: u32, dy: u32| unit(hash(x0 + dx, y0 + dy, seed));
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * tx;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * tx;
    top + (bottom - top) * ty
}

/// A picture of any size. The same arguments give the same picture.
pub(crate) fn photo(width: usize, height: usize, seed: u32) -> Rgb {
    let mut bytes = Vec::with_capacity(width * height * 3);
    let scale = 1.0 / width.max(height) as f32;
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f32 * scale, y as f32 * scale);
            let mut light = 0.25 + 0.4 * v;
            let mut weight = 0.28;
            let mut frequency = 5.0;
            for octave in 0..9 {
                light += weight * (noise(u * frequency, v * frequency, seed + octave) - 0.5);
                weight *= 0.62;
                frequency *= 2.3;
            }
            let warm = noise(u * 3.0, v * 3.0, seed + 77) - 0.5;
            let green = noise(u * 9.0, v * 9.0, seed + 78) - 0.5;
            // Roofs and windows: hard edges at any angle.
            let roof =
                (u * 11.0 + v * 4.0).fract() < 0.5 && noise(u * 4.0, v * 4.0, seed + 79) > 0.62;
            if roof {
                light = 0.75 - 0.5 * light;
            }
            let disc = (u - 0.7).hypot(v - 0.25);
            if disc < 0.12 {
                light = 0.95 - disc;
            }
            let grain = (unit(hash(x as u32, y as u32, seed + 99)) - 0.5) * 0.07;
            let channel =
                |offset: f32| ((light + offset + grain).clamp(0.0, 1.0) * 255.0).round() as u8;
            bytes.extend_from_slice(&[
                channel(0.35 * warm),
                channel(0.2 * green),
                channel(-0.35 * warm),
            ]);
        }
    }
    Rgb {
        width,
        height,
        bytes,
    }
}
