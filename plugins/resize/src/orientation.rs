//! The eight ways in which a camera may have been held, as EXIF numbers them.

use crate::{
    error::Result,
    pixels::{Picture, Pixels},
    scale::{Region, to_f64},
};

/// How an image is to be turned to stand upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Exchange rows and columns; before the flips.
    transpose: bool,
    flip_x: bool,
    flip_y: bool,
}

impl Orientation {
    pub(crate) const UPRIGHT: Self = Self {
        transpose: false,
        flip_x: false,
        flip_y: false,
    };

    /// What EXIF's tag means; anything but 1 to 8 means nothing.
    pub(crate) fn from_exif(value: u8) -> Self {
        let (transpose, flip_x, flip_y) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self {
            transpose,
            flip_x,
            flip_y,
        }
    }

    /// The same, with left and right or top and bottom of the upright image exchanged.
    pub(crate) fn mirrored(self, x: bool, y: bool) -> Self {
        Self {
            flip_x: self.flip_x ^ x,
            flip_y: self.flip_y ^ y,
            ..self
        }
    }

    /// The EXIF tag that says the same.
    pub(crate) fn to_exif(self) -> u8 {
        match (self.transpose, self.flip_x, self.flip_y) {
            (false, false, false) => 1,
            (false, true, false) => 2,
            (false, true, true) => 3,
            (false, false, true) => 4,
            (true, false, false) => 5,
            (true, true, false) => 6,
            (true, true, true) => 7,
            (true, false, true) => 8,
        }
    }

    /// The same as HEIF has it: quarters to turn against the clock, and then what to exchange, 0 top and bottom, 1 left and
    /// right.
    pub(crate) fn to_turns(self) -> (u8, Option<u8>) {
        match self.to_exif() {
            2 => (0, Some(1)),
            3 => (2, None),
            4 => (0, Some(0)),
            5 => (1, Some(0)),
            6 => (3, None),
            7 => (1, Some(1)),
            8 => (1, None),
            _ => (0, None),
        }
    }

    /// The size after turning; as turning twice exchanges nothing, also the size before.
    pub(crate) fn turn_size(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.transpose {
            (height, width)
        } else {
            (width, height)
        }
    }

    /// Whether the last column of the image in the file comes first in the upright one, wherever that has it, and the
    /// same of rows.
    pub(crate) fn reverses(self) -> (bool, bool) {
        if self.transpose {
            (self.flip_y, self.flip_x)
        } else {
            (self.flip_x, self.flip_y)
        }
    }

    /// The region of the image in the file that becomes `region` of the upright one. `source`: the size in the file.
    pub(crate) fn unturn_region(self, region: Region, source: (usize, usize)) -> Region {
        let (width, height) = self.turn_size(source);
        let x = if self.flip_x {
            to_f64(width) - region.x - region.width
        } else {
            region.x
        };
        let y = if self.flip_y {
            to_f64(height) - region.y - region.height
        } else {
            region.y
        };
        if self.transpose {
            Region {
                x: y,
                y: x,
                width: region.height,
                height: region.width,
            }
        } else {
            Region { x, y, ..region }
        }
    }

    pub(crate) fn turn(self, picture: Picture) -> Result<Picture> {
        if self == Self::UPRIGHT {
            return Ok(picture);
        }
        Ok(match picture {
            Picture::Packed(pixels) => Picture::Packed(self.turn_pixels(&pixels)?),
            Picture::Planes(planes) => {
                let turned = planes.iter().map(|plane| self.turn_pixels(plane));
                Picture::Planes(turned.collect::<Result<_>>()?)
            }
        })
    }

    pub(crate) fn turn_pixels(self, from: &Pixels) -> Result<Pixels> {
        let (width, height) = self.turn_size((from.width, from.height));
        let mut to = Pixels::new(width, height, from.kind)?;
        match from.kind.bytes() {
            1 => self.turn_bytes::<1>(from, &mut to),
            2 => self.turn_bytes::<2>(from, &mut to),
            3 => self.turn_bytes::<3>(from, &mut to),
            4 => self.turn_bytes::<4>(from, &mut to),
            6 => self.turn_bytes::<6>(from, &mut to),
            _ => self.turn_bytes::<8>(from, &mut to),
        }
        Ok(to)
    }

    fn turn_bytes<const N: usize>(self, from: &Pixels, to: &mut Pixels) {
        let (width, height, from_width) = (to.width, to.height, from.width);
        let (source, _) = from.bytes().as_chunks::<N>();
        let (target, _) = to.bytes_mut().as_chunks_mut::<N>();
        for (y, row) in target.chunks_exact_mut(width).enumerate() {
            let y = if self.flip_y { height - 1 - y } else { y };
            for (x, pixel) in row.iter_mut().enumerate() {
                let x = if self.flip_x { width - 1 - x } else { x };
                *pixel = source[if self.transpose {
                    x * from_width + y
                } else {
                    y * from_width + x
                }];
            }
        }
    }
}
