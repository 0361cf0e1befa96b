//! Which part of the source becomes which part of the target. Pure arithmetic.

use crate::{
    args::{Crop, Fit, Focus, Position},
    orientation::Orientation,
    scale::{Region, to_f64},
};

/// The size and shape that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestedSize {
    pub(crate) width: Option<usize>,
    pub(crate) height: Option<usize>,
    pub(crate) fit: Fit,
    pub(crate) position: Position,
    /// It lies within the upright image.
    pub(crate) crop: Option<Crop>,
    pub(crate) focus: Option<Focus>,
    pub(crate) enlarge: bool,
}

/// How the source becomes that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The part of the source that is used, in its pixels, as it lies in the file.
    pub(crate) region: Region,
    /// The size that part is scaled to, as it lies in the file.
    pub(crate) scaled: (usize, usize),
    /// The size of the target, and where in it the turned part goes.
    pub(crate) canvas: (usize, usize),
    pub(crate) offset: (usize, usize),
}

impl Plan {
    /// `source` is the size of the image in the file, `orientation` how it is to be turned afterwards.
    pub(crate) fn new(
        requested: &RequestedSize,
        source: (usize, usize),
        orientation: Orientation,
    ) -> Self {
        let whole = orientation.turn_size(source);
        let (left, top, upright) = match requested.crop {
            None => (0.0, 0.0, whole),
            Some(crop) => (
                f64::from(crop.left),
                f64::from(crop.top),
                (crop.width as usize, crop.height as usize),
            ),
        };
        let (full, canvas) = sizes(requested, upright);
        // What sticks out of the canvas is cropped, what is missing is background.
        let (share_x, share_y) = requested.position.shares();
        let visible = (full.0.min(canvas.0), full.1.min(canvas.1));
        let cut = |full: usize, visible: usize, share: f64| to_f64(full - visible) * share;
        let (ratio_x, ratio_y) = (
            to_f64(upright.0) / to_f64(full.0),
            to_f64(upright.1) / to_f64(full.1),
        );
        // What is looked at comes as near to the middle as the edges let it.
        let (cut_x, cut_y) = match requested.focus {
            None => (
                cut(full.0, visible.0, share_x),
                cut(full.1, visible.1, share_y),
            ),
            Some(focus) => {
                let centred = |at: f64, full: usize, visible: usize| {
                    (at - to_f64(visible) / 2.0).clamp(0.0, to_f64(full - visible))
                };
                let x = (focus.x * to_f64(whole.0) - left) / ratio_x;
                let y = (focus.y * to_f64(whole.1) - top) / ratio_y;
                (centred(x, full.0, visible.0), centred(y, full.1, visible.1))
            }
        };
        let region = Region {
            x: cut_x.round() * ratio_x + left,
            y: cut_y.round() * ratio_y + top,
            width: to_f64(visible.0) * ratio_x,
            height: to_f64(visible.1) * ratio_y,
        };
        let pad = |canvas: usize, visible: usize, share: f64| {
            round(to_f64(canvas - visible) * share).min(canvas - visible)
        };
        Self {
            region: orientation.unturn_region(region, source),
            scaled: orientation.turn_size(visible),
            canvas,
            offset: (
                pad(canvas.0, visible.0, share_x),
                pad(canvas.1, visible.1, share_y),
            ),
        }
    }

    pub(crate) fn has_padding(&self, orientation: Orientation) -> bool {
        orientation.turn_size(self.scaled) != self.canvas
    }
}

/// The size that the whole upright image is scaled to, and the size of the target.
fn sizes(
    requested: &RequestedSize,
    (width, height): (usize, usize),
) -> ((usize, usize), (usize, usize)) {
    let scale_x = requested.width.map(|to| to_f64(to) / to_f64(width));
    let scale_y = requested.height.map(|to| to_f64(to) / to_f64(height));
    let cap = |scale: f64| {
        if requested.enlarge {
            scale
        } else {
            scale.min(1.0)
        }
    };
    let scaled = |x: f64, y: f64| {
        let side = |len: usize, scale: f64| round(to_f64(len) * scale).max(1);
        (side(width, x), side(height, y))
    };
    let (x, y) = match (scale_x, scale_y) {
        (None, None) => (1.0, 1.0),
        (Some(scale), None) | (None, Some(scale)) => (cap(scale), cap(scale)),
        (Some(x), Some(y)) => match requested.fit {
            Fit::Cover | Fit::Outside => (cap(x.max(y)), cap(x.max(y))),
            Fit::Contain | Fit::Inside => (cap(x.min(y)), cap(x.min(y))),
            Fit::Fill => (cap(x), cap(y)),
        },
    };
    let full = scaled(x, y);
    let canvas = match (requested.fit, requested.width, requested.height) {
        // Without enlarging, a small image is cropped where it sticks out, and nothing is made up around it.
        (Fit::Cover, Some(width), Some(height)) => (width.min(full.0), height.min(full.1)),
        (Fit::Contain, Some(width), Some(height)) => (width, height),
        _ => full,
    };
    // Rounding must not leave a line of background beside an image that was to cover everything.
    (full, canvas)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, and NaN 0"
)]
fn round(value: f64) -> usize {
    value.round() as usize
}
