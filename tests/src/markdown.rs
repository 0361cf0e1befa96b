/// A fenced block of a Markdown page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What follows the opening fence: `sh`, `python`, …
    pub language: String,
    /// The text of a comment `<!-- test: TEXT -->` right above the fence. No reader sees it.
    pub mark: Option<String>,
    /// The heading that it stands under.
    pub heading: String,
    /// Its lines, each ended.
    pub text: String,
}

/// The fenced blocks of a page, in order.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut heading = String::new();
    let mut mark = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines
                .by_ref()
                .take_while(|line| *line != "```")
                .flat_map(|line| [line, "\n"])
                .collect();
            blocks.push(Block {
                language: language.to_owned(),
                mark: mark.take(),
                heading: heading.clone(),
                text,
            });
        } else if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        let comment = line
            .strip_prefix("<!-- test:")
            .and_then(|rest| rest.strip_suffix("-->"));
        mark = comment.map(|text| text.trim().to_owned());
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_know_their_language_their_heading_and_their_mark() {
        let page = "# One\n```sh\na\nb\n```\n<!-- test: file x -->\n```rust\n```\n## Two\n<!-- test: y -->\n\n```\nc\n```\n";
        let block = |language: &str, mark: Option<&str>, heading: &str, text: &str| Block {
            language: language.to_owned(),
            mark: mark.map(str::to_owned),
            heading: heading.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(
            blocks(page),
            [
                block("sh", None, "One", "a\nb\n"),
                block("rust", Some("file x"), "One", ""),
                block("", None, "Two", "c\n"),
            ]
        );
    }
}
