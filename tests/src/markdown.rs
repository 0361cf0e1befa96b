/// A fenced block of a Markdown page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first word after the opening fence: `sh`, `python`, …
    pub language: String,
    /// Whether the next word is `example`, which readers don't see: the block has to work as printed.
    pub is_example: bool,
    /// Its lines, each ended.
    pub text: String,
}

/// The fenced blocks of a page, in order.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let mut words = info.split(' ');
            blocks.push(Block {
                language: words.next().unwrap_or_default().to_owned(),
                is_example: words.next() == Some("example"),
                text: lines
                    .by_ref()
                    .take_while(|line| *line != "```")
                    .flat_map(|line| [line, "\n"])
                    .collect(),
            });
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_know_their_language_and_whether_they_are_examples() {
        let page = "# One\n```sh\na\n\nb\n```\n```rust example\n```\n## Two\n```\nc\n```\n";
        let block = |language: &str, is_example: bool, text: &str| Block {
            language: language.to_owned(),
            is_example,
            text: text.to_owned(),
        };
        assert_eq!(
            blocks(page),
            [
                block("sh", false, "a\n\nb\n"),
                block("rust", true, ""),
                block("", false, "c\n"),
            ]
        );
    }
}
