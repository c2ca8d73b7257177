//! A user agent's family, operating system and device class, from fixed sets
//! that name nobody. Where nothing is known, nothing is said.

/// What a user agent tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agent {
    /// The program.
    pub family: Option<&'static str>,
    /// The operating system.
    pub os: Option<&'static str>,
    /// `desktop`, `phone` or `tablet`.
    pub device: Option<&'static str>,
}

/// Longest text looked at, in bytes: a longer one is no honest user agent, and
/// its begin says as much.
const LOOKED_AT_MAX_BYTES: usize = 512;

/// Words and what they stand for; the first that is found decides.
struct Table<const N: usize> {
    words: [(&'static str, &'static str); N],
    /// Which of the words begin with a byte, a bit for each, and which have it
    /// in the second place: a text is gone through once for all of them.
    begin: [[u32; 256]; 2],
}

/// Words and the family they stand for. Programs name the ones they are like,
/// so the particular comes before the general.
static FAMILIES: Table<27> = Table::new([
    ("GoogleImageProxy", GMAIL_PROXY),
    ("YahooMailProxy", YAHOO_PROXY),
    ("Thunderbird/", "Thunderbird"),
    ("Microsoft Outlook", "Outlook"),
    ("ms-office", "Outlook"),
    ("Outlook-iOS", "Outlook"),
    ("Outlook-Android", "Outlook"),
    ("MSOffice", "Outlook"),
    ("AirMail", "Airmail"),
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
    ("Safari/", "Safari"),
]);

/// Words and the system they stand for, the particular before the general.
static SYSTEMS: Table<12> = Table::new([
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("iPod", "iOS"),
    ("Outlook-iOS", "iOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows NT", "Windows"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
    ("X11", "Linux"),
]);

const GMAIL_PROXY: &str = "Gmail image proxy";
const YAHOO_PROXY: &str = "Yahoo Mail proxy";

/// Reads a user agent.
pub fn classify(user_agent: &str) -> Agent {
    let end = user_agent.floor_char_boundary(LOOKED_AT_MAX_BYTES);
    let text = &user_agent[..end];
    let family = FAMILIES.first_in(text);
    if matches!(family, Some(GMAIL_PROXY | YAHOO_PROXY)) {
        // The rest of its user agent is made up: it is not the reader's.
        return Agent {
            family,
            ..Agent::default()
        };
    }
    let os = SYSTEMS.first_in(text);
    Agent {
        family: family.or_else(|| apple_mail(text, os)),
        os,
        device: os.and_then(|os| device(os, text)),
    }
}

impl<const N: usize> Table<N> {
    const fn new(words: [(&'static str, &'static str); N]) -> Self {
        assert!(N <= 32, "a bit for each word");
        let mut begin = [[0; 256]; 2];
        let mut at = 0;
        while at < N {
            let [first, second, ..] = *words[at].0.as_bytes() else {
                panic!("a word has two bytes at least");
            };
            begin[0][first as usize] |= 1 << at;
            begin[1][second as usize] |= 1 << at;
            at += 1;
        }
        Self { words, begin }
    }

    fn first_in(&self, text: &str) -> Option<&'static str> {
        let bytes = text.as_bytes();
        let [begin, second] = &self.begin;
        let mut found = None;
        // The words before the one that was found.
        let mut wanted = u32::MAX;
        for (at, pair) in bytes.windows(2).enumerate() {
            let (a, b) = (usize::from(pair[0]), usize::from(pair[1]));
            let mut left = begin[a] & second[b] & wanted;
            while left != 0 {
                let bit = left.trailing_zeros();
                let (word, name) = self.words[bit as usize];
                if bytes[at..].starts_with(word.as_bytes()) {
                    found = Some(name);
                    wanted = (1 << bit) - 1;
                    break;
                }
                left &= left - 1;
            }
        }
        found
    }
}

/// Apple's Mail sends what Safari sends, without `Version/` and `Safari/`.
fn apple_mail(text: &str, os: Option<&'static str>) -> Option<&'static str> {
    let apple = matches!(os, Some("iOS" | "macOS"));
    let mail = text.ends_with("(KHTML, like Gecko)") || text.contains("Mobile/15E148");
    (apple && mail).then_some("Apple Mail")
}

fn device(os: &'static str, text: &str) -> Option<&'static str> {
    match os {
        "iOS" if text.contains("iPad") => Some("tablet"),
        "iOS" => Some("phone"),
        // Android's convention: phones say Mobile, tablets do not.
        "Android" if text.contains("Mobile") => Some("phone"),
        "Android" => Some("tablet"),
        _ => Some("desktop"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user_agent: &str, family: &str, os: &str, device: &str) {
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let agent = classify(user_agent);
        assert_eq!(
            (agent.family, agent.os, agent.device),
            (some(family), some(os), some(device)),
            "{user_agent}"
        );
    }

    /// Device, system, family, and what they send.
    #[rustfmt::skip]
    const COMMON: [(&str, &str, &str, &str); 13] = [
        ("desktop", "Windows", "Chrome", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"),
        ("desktop", "Windows", "Edge", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36 Edg/129.0.0.0"),
        ("desktop", "Linux", "Firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"),
        ("desktop", "Linux", "Thunderbird", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0"),
        ("desktop", "macOS", "Safari", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15"),
        ("desktop", "macOS", "Apple Mail", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"),
        ("phone", "iOS", "Apple Mail", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"),
        ("phone", "iOS", "Safari", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"),
        ("tablet", "iOS", "Chrome", "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/129.0 Mobile/15E148 Safari/604.1"),
        ("phone", "Android", "Chrome", "Mozilla/5.0 (Linux; Android 14; CUBOT P80) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Mobile Safari/537.36"),
        ("tablet", "Android", "Samsung Internet", "Mozilla/5.0 (Linux; Android 14; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Safari/537.36"),
        ("", "", "Outlook", "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"),
        ("desktop", "Windows", "Outlook", "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Microsoft Outlook 16.0.4266)"),
    ];

    #[test]
    fn common_clients_are_told_apart() {
        for (device, os, family, user_agent) in COMMON {
            check(user_agent, family, os, device);
        }
    }

    #[test]
    fn an_image_proxys_system_is_not_the_readers() {
        check(
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Gmail image proxy",
            "",
            "",
        );
    }

    #[test]
    fn the_first_word_of_the_table_decides_wherever_it_stands() {
        for (at, (word, _)) in FAMILIES.words.into_iter().enumerate() {
            let others: Vec<_> = FAMILIES.words[at..].iter().map(|(word, _)| *word).collect();
            let reversed = others
                .iter()
                .rev()
                .copied()
                .collect::<Vec<_>>()
                .join("\u{fc}");
            for text in [word.to_owned(), others.join(" "), reversed] {
                // A word may hold one that stands before it.
                let first = FAMILIES.words.iter().find(|(word, _)| text.contains(word));
                assert_eq!(
                    FAMILIES.first_in(&text),
                    first.map(|(_, name)| *name),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn of_the_unknown_nothing_is_said() {
        check("", "", "", "");
        check("Mozilla/5.0", "", "", "");
        check("ada@example.org", "", "", "");
        check(&"ü".repeat(1000), "", "", "");
    }
}
