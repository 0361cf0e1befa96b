/// A fenced block of a Markdown page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first word after the opening fence: `sh`, `python`, …
    pub language: String,
    /// What follows on that line, which readers don't see: `example` means that the block has to work as printed.
    pub role: String,
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
            let (language, role) = info.split_once(' ').unwrap_or((info, ""));
            blocks.push(Block {
                language: language.to_owned(),
                role: role.to_owned(),
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
    fn blocks_know_their_language_and_their_role() {
        let page = "# One\n```sh\na\n\nb\n```\n```rust example\n```\n## Two\n```\nc\n```\n";
        let block = |language: &str, role: &str, text: &str| Block {
            language: language.to_owned(),
            role: role.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(
            blocks(page),
            [
                block("sh", "", "a\n\nb\n"),
                block("rust", "example", ""),
                block("", "", "c\n"),
            ]
        );
    }
}
