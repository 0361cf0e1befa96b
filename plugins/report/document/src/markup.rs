//! The little markup of texts.

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Heading {
        level: u8,
        text: String,
    },
    /// Lines of a paragraph; the breaks between them are kept.
    Paragraph(String),
    List(Vec<String>),
}

/// Cuts a text at empty lines; `# ` begins a heading, `- ` a point of a list.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let line = line.trim_end();
        let bare = line.trim_start();
        let heading = [("### ", 3), ("## ", 2), ("# ", 1)]
            .into_iter()
            .find_map(|(mark, level)| line.strip_prefix(mark).map(|text| (level, text.trim())));
        if let Some((level, text)) = heading {
            blocks.push(Block::Heading {
                level,
                text: text.to_owned(),
            });
            is_open = false;
        } else if let Some(point) = bare.strip_prefix("- ").or_else(|| bare.strip_prefix("* ")) {
            match blocks.last_mut() {
                Some(Block::List(points)) if is_open => points.push(point.trim().to_owned()),
                _ => blocks.push(Block::List(vec![point.trim().to_owned()])),
            }
            is_open = true;
        } else if bare.is_empty() {
            is_open = false;
        } else {
            match blocks.last_mut() {
                Some(Block::Paragraph(text)) if is_open => {
                    text.push('\n');
                    text.push_str(bare);
                }
                Some(Block::List(points)) if is_open && bare.len() < line.len() => {
                    if let Some(point) = points.last_mut() {
                        point.push(' ');
                        point.push_str(bare);
                    }
                }
                _ => blocks.push(Block::Paragraph(bare.to_owned())),
            }
            is_open = true;
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart() {
        let text = "# One\nfirst\nsecond\n\nthird\n- a\n- b\n  more\n\n- c\n#no heading";
        assert_eq!(
            blocks(text),
            [
                Block::Heading {
                    level: 1,
                    text: "One".into()
                },
                Block::Paragraph("first\nsecond".into()),
                Block::Paragraph("third".into()),
                Block::List(vec!["a".into(), "b more".into()]),
                Block::List(vec!["c".into()]),
                Block::Paragraph("#no heading".into()),
            ]
        );
        assert_eq!(blocks(" \n\n"), []);
    }
}
