//! The paper of a report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The size of a sheet of paper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PageSize {
    /// 210 × 297 mm
    #[default]
    A4,
    /// 297 × 420 mm
    A3,
    /// 148 × 210 mm
    A5,
    /// 8.5 × 11 in
    Letter,
    /// 8.5 × 14 in
    Legal,
}

const POINTS_PER_MM: f32 = 72.0 / 25.4;

impl PageSize {
    /// The short side and the long one, in points.
    pub(crate) fn sides(self) -> (f32, f32) {
        let mm = |short: f32, long: f32| (short * POINTS_PER_MM, long * POINTS_PER_MM);
        match self {
            Self::A4 => mm(210.0, 297.0),
            Self::A3 => mm(297.0, 420.0),
            Self::A5 => mm(148.0, 210.0),
            Self::Letter => (612.0, 792.0),
            Self::Legal => (612.0, 1008.0),
        }
    }
}

/// How the paper lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// Upright; the pages of a table that needs the width lie.
    #[default]
    Auto,
    /// Upright.
    Portrait,
    /// Lying.
    Landscape,
}

/// The paper of PDF, and of XLSX and HTML when they are printed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    /// The size of the paper.
    pub size: PageSize,
    /// How the paper lies.
    pub orientation: Orientation,
    /// Margin on all four sides in millimetres, 5 to 60. By default 18.
    #[schemars(range(min = 5, max = 60))]
    pub margin_mm: Option<f32>,
    /// What stands on top of each page. By default the title from the second page on.
    pub header: Option<Band>,
    /// What stands at the bottom of each page. By default the date on the left and `{page} / {pages}` on the right.
    pub footer: Option<Band>,
}

/// A page's header or footer. `{page}`, `{pages}`, `{title}`, `{subtitle}`, `{author}` and `{date}` stand for what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Band {
    /// On the left side.
    #[schemars(example = &"{title}")]
    pub left: String,
    /// In the middle.
    pub center: String,
    /// On the right side.
    #[schemars(example = &"{page} / {pages}")]
    pub right: String,
}

impl Page {
    /// The margin in millimetres.
    pub(crate) fn margin_mm(&self) -> f32 {
        self.margin_mm.unwrap_or(18.0)
    }

    /// The margin in points.
    pub(crate) fn margin(&self) -> f32 {
        self.margin_mm() * POINTS_PER_MM
    }

    /// How wide the text of an upright page is, and of a lying one, in points.
    pub(crate) fn widths(&self) -> (f32, f32) {
        let (short, long) = self.size.sides();
        (short - 2.0 * self.margin(), long - 2.0 * self.margin())
    }
}
