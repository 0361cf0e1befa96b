//! What a chart is drawn with.

use std::f32::consts::TAU;

/// The size of a chart's texts, in its units.
pub(super) const SIZE: f32 = 11.0;

/// What a shape is painted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// The colour of a series or slice.
    Series(usize),
    Grid,
    Axis,
    Text,
    Muted,
    /// What lies below: for gaps between slices, and text upon them.
    Paper,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Line(Line),
    Rect(Rect),
    Path(Path),
    Dot(Dot),
    Slice(Slice),
    Label(Label),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) from: (f32, f32),
    pub(crate) to: (f32, f32),
    pub(crate) paint: Paint,
    pub(crate) width: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) paint: Paint,
    /// What is shown when somebody points at it; nothing if it is empty.
    pub(crate) tip: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    pub(crate) points: Vec<(f32, f32)>,
    pub(crate) paint: Paint,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dot {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) radius: f32,
    pub(crate) paint: Paint,
    pub(crate) tip: String,
}

/// A part of a disc; `from` and `to` in turns, clockwise from the top.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slice {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) radius: f32,
    pub(crate) from: f32,
    pub(crate) to: f32,
    pub(crate) paint: Paint,
    pub(crate) tip: String,
}

impl Slice {
    /// Whether it is the whole disc.
    pub(crate) fn is_whole(&self) -> bool {
        self.to - self.from > 0.9999
    }

    /// The point of the disc's edge at this turn.
    pub(crate) fn edge(&self, turn: f32) -> (f32, f32) {
        point_at((self.x, self.y), self.radius, turn)
    }
}

/// The point at this distance in the direction of `turn`, clockwise from the top.
pub(super) fn point_at((x, y): (f32, f32), distance: f32, turn: f32) -> (f32, f32) {
    let angle = turn * TAU;
    (x + distance * angle.sin(), y - distance * angle.cos())
}

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    pub(crate) x: f32,
    /// The height of its base line.
    pub(crate) y: f32,
    pub(crate) text: String,
    pub(crate) size: f32,
    pub(crate) anchor: Anchor,
    pub(crate) paint: Paint,
    /// Whether it runs upwards.
    pub(crate) rotated: bool,
    pub(crate) bold: bool,
}

impl Label {
    /// A text of the usual size and weight, which runs to the right.
    pub(super) fn new(x: f32, y: f32, text: String, anchor: Anchor, paint: Paint) -> Self {
        Self {
            x,
            y,
            text,
            size: SIZE,
            anchor,
            paint,
            rotated: false,
            bold: false,
        }
    }
}
