//! Sheets on paper: its size, headers and footers, and how what is too wide for it finds room.

use rust_xlsxwriter::Worksheet;

use crate::{
    error::Error,
    format::long_date,
    model::{Document, Orientation, Page, PageSize},
};

use super::failed;

/// Letters are made smaller down to this part of their size; then columns go on on further pages.
const SCALE_MIN: f32 = 0.55;
/// Tables that need less than this part of it standing lie.
const SCALE_STANDING_MIN: f32 = 0.75;
/// Beside which first columns and heads stay in sight while others are scrolled, in characters.
const SCREEN_WIDTH: f32 = 110.0;
const FROZEN_WIDTH_MAX: f32 = 40.0;

/// The paper, in points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    standing: f32,
    lying: f32,
    /// The height of what stands upright, and lying, between the margins of a spreadsheet.
    heights: (f32, f32),
    orientation: Orientation,
}

impl Paper {
    pub(super) fn of(page: &Page) -> Self {
        let (standing, lying) = page.widths();
        let (short, long) = page.size.sides();
        let beside = page.margin_mm.map_or(0.75 * 72.0, |_| page.margin()) * 2.0;
        Self {
            standing,
            lying,
            heights: (long - beside, short - beside),
            orientation: page.orientation,
        }
    }

    /// How much finds room on a page, in points, when columns of these widths in characters are made to fit on it.
    pub(super) fn height_at(self, widths: &[f32]) -> f32 {
        let (width, height) = match self.orientation {
            Orientation::Landscape => (self.lying, self.heights.1),
            _ => (self.standing, self.heights.0),
        };
        let needed: f32 = widths.iter().copied().map(points).sum();
        height * (needed / width).max(1.0)
    }

    /// Lets a table lie, and its columns go on on further pages, as far as these widths in characters need it. What is
    /// wider than a screen keeps its first column there.
    pub(super) fn fit(self, sheet: &mut Worksheet, widths: &[f32]) -> Result<(), Error> {
        let needed: f32 = widths.iter().copied().map(points).sum();
        let first = widths.first().copied().unwrap_or(0.0);
        let lies = match self.orientation {
            Orientation::Auto => needed * SCALE_STANDING_MIN > self.standing,
            Orientation::Landscape => true,
            Orientation::Portrait => false,
        };
        if lies {
            sheet.set_landscape();
        }
        let width = if lies { self.lying } else { self.standing };
        if needed * SCALE_MIN > width {
            // The first column stands on each page.
            let beside = points(first) * SCALE_MIN;
            let pages = ((needed * SCALE_MIN - beside) / (width - beside).max(width / 4.0)).ceil();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 1,000"
            )]
            sheet.set_print_fit_to_pages(pages.clamp(1.0, 1_000.0) as u16, 0);
            sheet.set_page_order(false);
            sheet.set_repeat_columns(0, 0).map_err(failed)?;
        }
        if widths.len() > 1 && widths.iter().sum::<f32>() > SCREEN_WIDTH && first < FROZEN_WIDTH_MAX
        {
            sheet.set_freeze_panes(1, 1).map_err(failed)?;
        }
        Ok(())
    }
}

/// The width of a column of so many characters: seven pixels each, and five beside them.
fn points(characters: f32) -> f32 {
    characters.mul_add(7.0, 5.0) * 0.75
}

/// Paper, header and footer.
pub(super) fn print_setup(worksheet: &mut Worksheet, document: &Document, title: Option<&str>) {
    worksheet.set_paper_size(match document.page.size {
        PageSize::Letter => 1,
        PageSize::Legal => 5,
        PageSize::A3 => 8,
        PageSize::A4 => 9,
        PageSize::A5 => 11,
    });
    if document.page.orientation == Orientation::Landscape {
        worksheet.set_landscape();
    }
    if let Some(margin) = document.page.margin_mm {
        let inches = f64::from(margin) / 25.4;
        let band = inches / 2.0;
        worksheet.set_margins(inches, inches, inches, inches, band, band);
    }
    worksheet.set_print_fit_to_pages(1, 0);
    let date = long_date(document);
    let date = date.unwrap_or_default();
    let fill = |text: &str, page: &str, pages: &str| {
        text.replace('&', "&&")
            .replace("{title}", &document.title.replace('&', "&&"))
            .replace(
                "{subtitle}",
                &document
                    .subtitle
                    .clone()
                    .unwrap_or_default()
                    .replace('&', "&&"),
            )
            .replace(
                "{author}",
                &document
                    .author
                    .clone()
                    .unwrap_or_default()
                    .replace('&', "&&"),
            )
            .replace("{date}", &date)
            .replace("{page}", page)
            .replace("{pages}", pages)
    };
    let band = |band: &crate::model::Band| {
        let mut text = String::new();
        for (code, part) in [
            ("&L", &band.left),
            ("&C", &band.center),
            ("&R", &band.right),
        ] {
            if !part.is_empty() {
                text.push_str(code);
                text.push_str(&fill(part, "&P", "&N"));
            }
        }
        text
    };
    let header = match &document.page.header {
        Some(header) => band(header),
        None => format!("&L{}", title.unwrap_or(&document.title).replace('&', "&&")),
    };
    let footer = match &document.page.footer {
        Some(footer) => band(footer),
        None => format!("&L{date}&R&P / &N"),
    };
    // Longer ones would be refused by spreadsheets.
    if header.encode_utf16().count() <= 255 {
        worksheet.set_header(header);
    }
    if footer.encode_utf16().count() <= 255 {
        worksheet.set_footer(footer);
    }
}
