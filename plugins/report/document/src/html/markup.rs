//! Elements and texts, as they are appended.

use crate::direction::{is_ltr, is_rtl};

use super::escape;

/// What is written, until it goes to the sink.
#[derive(Debug, Default)]
pub(super) struct Markup {
    pub(super) line: String,
    /// Whether the report reads from right to left.
    pub(super) is_rtl: bool,
}

impl Markup {
    /// Markup as it is.
    pub(super) fn push(&mut self, markup: &str) {
        self.line.push_str(markup);
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.line);
    }

    /// The direction of a text, where it isn't that of the report.
    pub(super) fn dir(&mut self, text: &str) {
        if self.is_rtl {
            if is_ltr(text) {
                self.line.push_str(" dir=ltr");
            }
        } else if is_rtl(text) {
            self.line.push_str(" dir=rtl");
        }
    }

    /// An element with a text.
    pub(super) fn element(&mut self, tag: &str, attributes: &str, text: &str) {
        self.push("<");
        self.push(tag);
        self.push(attributes);
        self.dir(text);
        self.push(">");
        self.text(text);
        self.push("</");
        self.push(tag);
        self.push(">\n");
    }
}
