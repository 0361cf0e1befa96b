//! Scaling as the textbook has it, in floating point and without any cleverness, and two measures of likeness.

use super::photo::Rgb;

fn lanczos3(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x.abs() >= 3.0 {
        return 0.0;
    }
    let x = x * std::f64::consts::PI;
    3.0 * x.sin() * (x / 3.0).sin() / (x * x)
}

/// One channel as rows of floats.
#[derive(Clone)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) samples: Vec<f64>,
}

fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    (0..to)
        .map(|at| {
            let centre = (at as f64 + 0.5) * scale;
            let first = (centre - 3.0 * stretch).floor().max(0.0) as usize;
            let last = ((centre + 3.0 * stretch).ceil() as usize).min(from);
            let raw: Vec<(usize, f64)> = (first..last)
                .map(|source| (source, lanczos3((source as f64 + 0.5 - centre) / stretch)))
                .collect();
            let sum: f64 = raw.iter().map(|(_, weight)| weight).sum();
            raw.into_iter()
                .map(|(source, weight)| (source, weight / sum))
                .collect()
        })
        .collect()
}

/// Lanczos3, first across, then down.
pub(crate) fn scale(plane: &Plane, width: usize, height: usize) -> Plane {
    let across = weights(plane.width, width);
    let mut middle = vec![0.0; width * plane.height];
    for (row, to) in plane
        .samples
        .chunks_exact(plane.width)
        .zip(middle.chunks_exact_mut(width))
    {
        for (weights, to) in across.iter().zip(to) {
            *to = weights.iter().map(|(at, weight)| row[*at] * weight).sum();
        }
    }
    let mut samples = vec![0.0; width * height];
    for (weights, to) in weights(plane.height, height)
        .iter()
        .zip(samples.chunks_exact_mut(width))
    {
        for (at, weight) in weights {
            for (to, from) in to.iter_mut().zip(&middle[at * width..]) {
                *to += from * weight;
            }
        }
    }
    Plane {
        width,
        height,
        samples,
    }
}

/// The channels of a picture.
pub(crate) fn channels(picture: &Rgb) -> [Plane; 3] {
    [0, 1, 2].map(|channel| Plane {
        width: picture.width,
        height: picture.height,
        samples: picture
            .bytes
            .iter()
            .skip(channel)
            .step_by(3)
            .map(|byte| f64::from(*byte))
            .collect(),
    })
}

/// A picture scaled by [`scale`] in each channel.
pub(crate) fn scaled(picture: &Rgb, width: usize, height: usize) -> Rgb {
    let planes = channels(picture).map(|plane| scale(&plane, width, height));
    let mut bytes = Vec::with_capacity(width * height * 3);
    for at in 0..width * height {
        for plane in &planes {
            bytes.push(plane.samples[at].round().clamp(0.0, 255.0) as u8);
        }
    }
    Rgb {
        width,
        height,
        bytes,
    }
}

/// Brightness alone.
pub(crate) fn luma(picture: &Rgb) -> Plane {
    let (pixels, _) = picture.bytes.as_chunks::<3>();
    Plane {
        width: picture.width,
        height: picture.height,
        samples: pixels
            .iter()
            .map(|[r, g, b]| 0.299 * f64::from(*r) + 0.587 * f64::from(*g) + 0.114 * f64::from(*b))
            .collect(),
    }
}

/// Peak signal to noise over all channels, in decibels.
pub(crate) fn psnr(a: &Rgb, b: &Rgb) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let sum: f64 = a
        .bytes
        .iter()
        .zip(&b.bytes)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    let mean = sum / a.bytes.len() as f64;
    if mean == 0.0 {
        99.0
    } else {
        10.0 * (255.0 * 255.0 / mean).log10()
    }
}

/// Structural similarity of brightness, over windows of 8 by 8 with a step of 4.
pub(crate) fn ssim(a: &Rgb, b: &Rgb) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    ssim_of(&luma(a), &luma(b))
}

/// The mean of the channels' structural similarities.
pub(crate) fn ssim_rgb(a: &Rgb, b: &Rgb) -> f64 {
    let pairs = channels(a).into_iter().zip(channels(b));
    pairs.map(|(a, b)| ssim_of(&a, &b)).sum::<f64>() / 3.0
}

fn ssim_of(a: &Plane, b: &Plane) -> f64 {
    let (c1, c2) = (6.5025, 58.5225);
    let (mut total, mut count) = (0.0, 0.0);
    for top in (0..=a.height.saturating_sub(8)).step_by(4) {
        for left in (0..=a.width.saturating_sub(8)).step_by(4) {
            let (mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for y in top..top + 8 {
                for x in left..left + 8 {
                    let (a, b) = (a.samples[y * a.width + x], b.samples[y * b.width + x]);
                    sa += a;
                    sb += b;
                    saa += a * a;
                    sbb += b * b;
                    sab += a * b;
                }
            }
            let n = 64.0;
            let (ma, mb) = (sa / n, sb / n);
            let (va, vb, cov) = (saa / n - ma * ma, sbb / n - mb * mb, sab / n - ma * mb);
            total += (2.0 * ma * mb + c1) * (2.0 * cov + c2)
                / ((ma * ma + mb * mb + c1) * (va + vb + c2));
            count += 1.0;
        }
    }
    total / count
}
