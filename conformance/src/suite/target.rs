//! The server under test, as its tester describes it and as its banner does.

/// Where a server is, and what the scenarios may make use of there.
#[derive(Debug, Clone)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// An administrator.
    pub user: String,
    /// The administrator's password.
    pub password: String,
    /// A partition.
    pub partition: String,
    /// Another one.
    pub partition2: Option<String>,
    /// An account that is no administrator.
    pub ordinary: Option<String>,
    /// Its password.
    pub ordinary_password: String,
    /// The path of a Unix socket of the same server.
    pub socket: Option<String>,
    /// What the scenarios cannot find out from the banner, such as `conversations`.
    pub features: Vec<String>,
    /// The banner, line by line.
    pub banner: Vec<String>,
}

impl Target {
    /// A server of which no more is known; its partition is `default`.
    pub fn new(address: &str, user: &str, password: &str) -> Target {
        Target {
            address: address.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            partition: "default".to_owned(),
            partition2: None,
            ordinary: None,
            ordinary_password: String::new(),
            socket: None,
            features: Vec::new(),
            banner: Vec::new(),
        }
    }

    /// The first of a scenario's needs that this server does not meet, as a reason to skip.
    ///
    /// `second-partition`, `ordinary-account` and `unix-socket` are what the tester gave, `starttls`, `compress`, `sieve-mailbox` and
    /// `scram` stand in the banner, all others in [`Target::features`].
    pub fn lacks(&self, needs: &[String]) -> Option<String> {
        needs.iter().find_map(|need| self.lack(need))
    }

    fn lack(&self, need: &str) -> Option<String> {
        let given =
            |is_there: bool, what: &str| (!is_there).then(|| format!("the target was given without {what}"));
        let offered = |word: &str| {
            let is_there = self.offers(word);
            (!is_there).then(|| format!("the server does not offer {word}"))
        };
        match need {
            "second-partition" => given(self.partition2.is_some(), "a second partition"),
            "ordinary-account" => given(self.ordinary.is_some(), "an account that is no administrator"),
            "unix-socket" => given(self.socket.is_some(), "a Unix socket"),
            "starttls" => offered("STARTTLS"),
            "compress" => offered("COMPRESS"),
            "sieve-mailbox" => offered("SIEVE-MAILBOX"),
            "scram" => offered("SCRAM-SHA-1"),
            _ => {
                let is_there = self.features.iter().any(|feature| feature == need);
                (!is_there).then(|| format!("the server was not started with {need}"))
            }
        }
    }

    fn offers(&self, word: &str) -> bool {
        self.banner
            .iter()
            .filter(|line| !line.starts_with("* OK"))
            .any(|line| {
                line.split_whitespace()
                    .any(|found| found.eq_ignore_ascii_case(word))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_met_or_named() {
        let mut target = Target::new("127.0.0.1:1", "admin", "x");
        target.banner = vec!["* SASL PLAIN".into(), "* OK x COMPRESS".into()];
        let lacks = |need: &str| target.lacks(&[need.to_owned()]);
        assert_eq!(
            lacks("compress").as_deref(),
            Some("the server does not offer COMPRESS")
        );
        assert!(lacks("second-partition").is_some());
        assert!(lacks("conversations").is_some());
        target.features.push("conversations".into());
        assert_eq!(target.lacks(&["conversations".to_owned()]), None);
    }
}
