//! Where columns stand: widths from a sample of the rows, and the paper that they fit on.

use crate::{
    error::{Error, ErrorKind},
    letters::Weight,
    model::{Align, Orientation},
    table::TableColumn,
    text::Shaper,
    value::ColumnKind,
};

use super::{LINE, Layout, PAD, height_of, row::Row};

/// The widest a column of texts gets as long as others need room, in ems.
const TEXT_WIDTH_MAX: f32 = 26.0;
/// The widest it gets at all: longer lines can't be read.
const TEXT_WIDTH_WANTED: f32 = 48.0;
/// Texts up to this width stay in one line if the paper allows, in ems.
const UNBROKEN_MAX: f32 = 16.0;
/// More columns than this nobody lays side by side.
const COLUMNS_MAX: usize = 400;
/// The size of letters where columns go on on further pages.
const DIVIDED_SIZE: f32 = 8.0;
/// The widest word of a heading that is not broken, in ems.
const HEAD_WORD_MAX: f32 = 14.0;
/// How far texts stand from numbers that end before them, in ems.
const INDENT: f32 = 0.9;
/// Narrow tables don't spread over all of the paper: the eye would lose the row.
const STRETCH_MAX: f32 = 1.9;

/// Where the columns are, in points.
pub(super) struct Grid {
    /// The sides between which the table stands: at the left one, or where readers begin on the right, at that.
    pub(super) left: f32,
    pub(super) right: f32,
    pub(super) is_rtl: bool,
    widths: Vec<f32>,
    indents: Vec<f32>,
    pub(super) size: f32,
    pub(super) head: Vec<Vec<String>>,
    /// The columns that stand on one page; those that find no room there stand on the pages behind it.
    pub(super) panels: Vec<Vec<usize>>,
}

impl Grid {
    pub(super) fn width(&self, column: usize) -> f32 {
        self.widths.get(column).copied().unwrap_or(0.0)
    }

    /// The space before a column's texts.
    pub(super) fn indent(&self, column: usize) -> f32 {
        PAD + self.indents.get(column).copied().unwrap_or(0.0)
    }

    /// How wide a line of this column may be.
    pub(super) fn room(&self, column: usize) -> f32 {
        self.width(column) - self.indent(column) - PAD
    }

    pub(super) fn total(&self, panel: &[usize]) -> f32 {
        panel.iter().map(|column| self.width(*column)).sum()
    }

    pub(super) fn head_height(&self) -> f32 {
        let lines = self.head.iter().map(Vec::len).max().unwrap_or(1);
        height_of(lines, self.size)
    }

    /// How many lines a row may have, so that it fits on a page of this height below the head.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a handful of lines"
    )]
    pub(super) fn lines_fitting(&self, height: f32) -> usize {
        let fitting = ((height - self.head_height()) / (self.size * LINE)) - 2.0;
        fitting.max(1.0) as usize
    }

    pub(super) fn is_divided(&self) -> bool {
        self.panels.len() > 1
    }
}

/// What a column needs, in ems: all it can use, to show everything in one line but texts too long for it, to break none
/// but long texts, and at the very least.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    wanted: f32,
    natural: f32,
    unbroken: f32,
    least: f32,
}

/// The paper and the widths that fit.
pub(super) fn fit(
    columns: &[TableColumn],
    sample: &[Row],
    layout: &mut Layout,
    orientation: Orientation,
) -> Result<(bool, Grid), Error> {
    let is_rtl = layout.is_rtl();
    let needs: Vec<Need> = (0..columns.len())
        .map(|index| {
            let indent = indent_of(columns, index, is_rtl);
            need(&mut layout.shaper, columns, sample, index).with(indent)
        })
        .collect();
    let attempts: &[(bool, f32)] = match orientation {
        Orientation::Auto => &[
            (false, 9.0),
            (false, 8.0),
            (true, 9.0),
            (true, 8.0),
            (true, 7.0),
        ],
        Orientation::Portrait => &[(false, 9.0), (false, 8.0), (false, 7.0)],
        Orientation::Landscape => &[(true, 9.0), (true, 8.0), (true, 7.0)],
    };
    // At first, only long texts are broken into lines.
    for least_of in [|need: &Need| need.unbroken, |need: &Need| need.least] {
        for &(landscape, size) in attempts {
            let width = layout.width_if(landscape);
            if let Some(widths) = share(&needs, least_of, size, width) {
                return Ok((landscape, grid(columns, layout, (widths, landscape), size)));
            }
        }
    }
    if needs.len() > COLUMNS_MAX {
        return Err(Error::new(
            ErrorKind::TooManyColumns,
            format!(
                "the PDF has no room for {} columns: select fewer, or write XLSX or CSV",
                needs.len()
            ),
        ));
    }
    let landscape = orientation != Orientation::Portrait;
    let width = layout.width_if(landscape);
    let (widths, panels) = divide(&needs, width);
    let mut grid = grid(columns, layout, (widths, landscape), DIVIDED_SIZE);
    if !panels.is_empty() {
        grid.panels = panels;
    }
    Ok((landscape, grid))
}

/// Texts that begin where numbers end would touch them.
fn indent_of(columns: &[TableColumn], index: usize, is_rtl: bool) -> f32 {
    let before = if is_rtl {
        index.checked_add(1)
    } else {
        index.checked_sub(1)
    };
    let ends_beside = |at: Option<usize>| {
        at.and_then(|at| columns.get(at))
            .is_some_and(|column| column.align == Align::Right)
    };
    let begins = columns
        .get(index)
        .is_some_and(|column| column.align == Align::Left);
    if begins && ends_beside(before) {
        INDENT
    } else {
        0.0
    }
}

impl Need {
    fn with(self, indent: f32) -> Self {
        Self {
            wanted: self.wanted + indent,
            natural: self.natural + indent,
            unbroken: self.unbroken + indent,
            least: self.least + indent,
        }
    }
}

/// The columns on pages side by side, the first one on each of them, so that rows are known again. All pages but those of
/// few columns are as wide as the paper.
fn divide(needs: &[Need], width: f32) -> (Vec<f32>, Vec<Vec<usize>>) {
    let wanted = |need: &Need| need.unbroken * DIVIDED_SIZE + 2.0 * PAD;
    let first = needs.first().map_or(0.0, wanted).min(width * 0.3);
    let mut widths: Vec<f32> = needs
        .iter()
        .enumerate()
        .map(|(index, need)| match index {
            0 => first,
            _ => wanted(need).min(width - first),
        })
        .collect();
    let room = width - first;
    let fewest = fill(&widths, room).len();
    // The narrowest pages on which the columns find room: none is full beside one that is almost empty.
    let (mut narrow, mut wide) = (room / 2.0, room);
    for _ in 0..12 {
        let middle = f32::midpoint(narrow, wide);
        if fill(&widths, middle).len() > fewest {
            narrow = middle;
        } else {
            wide = middle;
        }
    }
    let mut panels = fill(&widths, wide);
    for panel in &mut panels {
        let own: f32 = panel.iter().filter_map(|column| widths.get(*column)).sum();
        let factor = if own > 0.0 {
            (room / own).min(STRETCH_MAX)
        } else {
            1.0
        };
        for column in panel.iter() {
            if let Some(width) = widths.get_mut(*column) {
                *width *= factor;
            }
        }
        panel.insert(0, 0);
    }
    (widths, panels)
}

/// Columns in order, as many in each panel as fit into this room; the first column is none of them.
fn fill(widths: &[f32], room: f32) -> Vec<Vec<usize>> {
    let mut panels: Vec<Vec<usize>> = Vec::new();
    let mut used = f32::INFINITY;
    for (index, own) in widths.iter().enumerate().skip(1) {
        if used + own > room + 0.1 {
            panels.push(Vec::new());
            used = 0.0;
        }
        used += own;
        if let Some(panel) = panels.last_mut() {
            panel.push(index);
        }
    }
    panels
}

fn grid(
    columns: &[TableColumn],
    layout: &mut Layout,
    (widths, landscape): (Vec<f32>, bool),
    size: f32,
) -> Grid {
    let is_rtl = layout.is_rtl();
    let mut grid = Grid {
        left: layout.left(),
        right: layout.left() + layout.width_if(landscape),
        is_rtl,
        panels: vec![(0..widths.len()).collect()],
        indents: (0..columns.len())
            .map(|index| indent_of(columns, index, is_rtl) * size)
            .collect(),
        widths,
        size,
        head: Vec::new(),
    };
    grid.head = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            // Names of columns may be broken behind their underscores.
            let title = column.title.replace('_', "_ ");
            let ems = grid.room(index) / size;
            let lines = layout.shaper.wrap(&title, Weight::Bold, ems, 4);
            let lines = lines.into_iter().map(|line| line.replace("_ ", "_"));
            lines.collect()
        })
        .collect();
    grid
}

fn need(shaper: &mut Shaper, columns: &[TableColumn], sample: &[Row], index: usize) -> Need {
    let Some(column) = columns.get(index) else {
        return Need::default();
    };
    if let Some(width) = column.width {
        let ems = width * 0.56;
        return Need {
            wanted: ems,
            natural: ems,
            unbroken: ems,
            least: ems,
        };
    }
    let is_text = column.kind == ColumnKind::Text;
    let (widest, longest_word) = measure(shaper, sample, index, is_text);
    let title = shaper.width(&column.title, Weight::Bold);
    let title_word = column
        .title
        .split_whitespace()
        .flat_map(|word| word.split_inclusive('_'))
        .map(|word| shaper.width(word, Weight::Bold))
        .fold(0.0, f32::max)
        .min(HEAD_WORD_MAX);
    let natural = widest
        .min(TEXT_WIDTH_MAX.max(if is_text { 0.0 } else { widest }))
        .max(title.min(14.0))
        .max(title_word);
    let least = if is_text {
        longest_word.min(11.0).max(widest.min(6.0)).max(title_word)
    } else {
        widest.max(title_word)
    };
    // A little air, because later rows may be wider than the sample.
    let least = least.min(natural) + 0.15;
    let unbroken = if is_text && widest > UNBROKEN_MAX {
        least.max(UNBROKEN_MAX * 0.8)
    } else {
        natural + 0.6
    };
    Need {
        wanted: widest.min(TEXT_WIDTH_WANTED).max(natural) + 0.8,
        natural: natural + 0.8,
        unbroken,
        least,
    }
}

/// How wide the widest line of a column is in the sample, and the widest part that shouldn't be broken.
fn measure(shaper: &mut Shaper, sample: &[Row], index: usize, is_text: bool) -> (f32, f32) {
    let mut widest = 0.0_f32;
    let mut longest_word = 0.0_f32;
    for row in sample {
        if row.label == Some(index) {
            continue;
        }
        let text = row.cell(index);
        // The beginning tells enough about long texts.
        let text = text
            .get(..text.floor_char_boundary(400))
            .unwrap_or_default();
        for line in text.lines() {
            let width = shaper.width(line, row.style.weight());
            widest = widest.max(width);
            if is_text && width > 6.0 {
                for word in line.split_whitespace().take(40) {
                    longest_word = longest_word.max(shaper.width(word, row.style.weight()));
                }
            } else {
                longest_word = longest_word.max(width);
            }
        }
    }
    (widest, longest_word)
}

/// Widths of columns for a table of this width, if all that they need at least fits.
fn share(
    needs: &[Need],
    least_of: impl Fn(&Need) -> f32,
    size: f32,
    width: f32,
) -> Option<Vec<f32>> {
    let of = |ems: f32| ems * size + 2.0 * PAD;
    let natural: f32 = needs.iter().map(|need| of(need.natural)).sum();
    if natural <= width {
        return Some(spread(needs, size, (natural, width)));
    }
    let least: f32 = needs.iter().map(|need| of(least_of(need))).sum();
    if least > width {
        return None;
    }
    let share = (width - least) / (natural - least);
    Some(
        needs
            .iter()
            .map(|need| of(least_of(need)) + (need.natural - least_of(need)) * size * share)
            .collect(),
    )
}

/// What is left goes to long texts first, which have fewer lines then, and to all columns alike.
fn spread(needs: &[Need], size: f32, (natural, width): (f32, f32)) -> Vec<f32> {
    let more: f32 = needs
        .iter()
        .map(|need| (need.wanted - need.natural) * size)
        .sum();
    let share = if more > 0.0 {
        ((width - natural) / more).min(1.0)
    } else {
        0.0
    };
    let factor = (width / (natural + more * share)).clamp(1.0, STRETCH_MAX);
    needs
        .iter()
        .map(|need| {
            let ems = need.natural + (need.wanted - need.natural) * share;
            (ems * size + 2.0 * PAD) * factor
        })
        .collect()
}
