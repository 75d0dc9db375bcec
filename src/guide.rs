//! The guides, as `dryrack guide TOPIC` prints them: one file for each topic in `src/guide/`.

macro_rules! guides {
    ($($module:ident = $topic:literal,)+) => {
        /// Every guide, in reading order.
        pub const GUIDES: &[Guide] = &[
            $(Guide { topic: $topic, source: include_str!(concat!("guide/", $topic, ".md")) }),+
        ];

        $(#[doc = include_str!(concat!("guide/", $topic, ".md"))] pub mod $module {})+
    };
}

guides! {
    lab_file = "lab-file",
    networks = "networks",
    images = "images",
    installs = "installs",
    media = "media",
    boot_paths = "boot-paths",
    bmc = "bmc",
    matchbox = "matchbox",
    processes = "processes",
    hosts = "hosts",
    expectations = "expectations",
    kubernetes = "kubernetes",
    lives = "lives",
    findings = "findings",
    faults = "faults",
    ci = "ci",
    without_root = "without-root",
    traces = "traces",
    import = "import",
    troubleshooting = "troubleshooting",
}

/// One guide.
#[derive(Debug, Clone, Copy)]
pub struct Guide {
    /// Its name on the command line.
    pub topic: &'static str,
    /// Its Markdown.
    pub source: &'static str,
}

impl Guide {
    /// Returns the guide of a topic.
    pub fn find(topic: &str) -> Option<&'static Self> {
        GUIDES.iter().find(|guide| guide.topic == topic)
    }

    /// Returns its title.
    pub fn title(&self) -> &'static str {
        self.source.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(self.topic)
    }

    /// Returns its text for a terminal: the Markdown without comments.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut blank = false;
        for line in self.source.lines().filter(|line| !line.starts_with("<!--")) {
            // A comment stands between two blank lines.
            if !(blank && line.is_empty()) {
                text.extend([line, "\n"]);
            }
            blank = line.is_empty();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_no_comments() {
        let guide = Guide { topic: "x", source: "# X\n\n<!-- a -->\n\n| a |\n\n<!-- b -->\n\nEnd.\n" };
        assert_eq!(guide.text(), "# X\n\n| a |\n\nEnd.\n");
        assert_eq!(guide.title(), "X");
    }
}
