//! Arguments of `sync_client`, with the letters and names that Cyrus gives them. [CS-LOG-28]

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};

/// Most connections at a time.
const JOBS_MAX: u64 = 64;

/// Makes a replica (Cyrus's or mailtwin's) equal to the mail in the store, once or as it changes.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sync_client",
    version,
    after_help = "\
Exactly one of -u, -m, -A, -s, -r, -R is needed. With the first four, prints a line of counts when done; failures go to
stderr with their reason. A second run sends only what differs. Rolling (-r, -R) sends what the log of the channel says,
until SIGTERM, SIGINT or the shutdown file ends it; what is not done by then stays in the log. SIGHUP reads the
configuration again and tries at once what had failed.

Exit status:
  0   all that was asked for is equal; a daemon ended as it was told to
  1   some users, mailboxes or entries of the log could not be made equal
  64  wrong arguments
  69  compression is required (-z) and not to be had
  74  the store or the log cannot be used
  75  no connection, or it was lost, or a signal stopped the run, or another daemon has the channel; try again
  77  the login was refused
  78  the configuration cannot be used, or TLS: the replica's certificate or ours is not accepted, or a file is of no use"
)]
pub struct Args {
    /// Configuration file, in imapd.conf syntax
    #[arg(
        short = 'C',
        long = "config",
        value_name = "FILE",
        default_value = "/etc/imapd.conf"
    )]
    pub config: PathBuf,
    /// The replica, over the configuration's.
    #[arg(
        short = 'S',
        long,
        value_name = "HOST[:PORT]",
        help = "Replica: HOST, HOST:PORT, [IPV6]:PORT or /PATH of a Unix socket; default is `sync_host` with `sync_port`"
    )]
    pub server: Option<String>,
    /// Channel: whose log is read, and whose keys (`CHANNEL_sync_host` and so on) come first
    #[arg(short = 'n', long, value_name = "NAME")]
    pub channel: Option<String>,

    /// Replicates these users with all they have
    #[arg(short = 'u', long, help_heading = "What to do")]
    pub userids: bool,
    /// Replicates these mailboxes: `user/jane/Sent` or `user.jane.Sent`
    #[arg(short = 'm', long, help_heading = "What to do")]
    pub mailboxes: bool,
    /// Replicates all users (whose id begins with the one name given), then shared mailboxes
    #[arg(short = 'A', long, help_heading = "What to do")]
    pub all_users: bool,
    /// Replicates seen states, subscriptions and scripts of these users, and no mailboxes
    #[arg(short = 's', long, help_heading = "What to do")]
    pub sieve_mode: bool,
    /// Replicates what the log says, for ever, in the background
    #[arg(short = 'r', long, help_heading = "What to do")]
    pub rolling: bool,
    /// Replicates what the log says, for ever, in the foreground
    #[arg(short = 'R', long, help_heading = "What to do")]
    pub foreground_rolling: bool,
    /// With -r or -R: ends when what the log says now is done
    #[arg(short = '1', long, help_heading = "What to do")]
    pub rolling_once: bool,
    /// User ids for -u and -s, mailbox names for -m, a prefix for -A
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Names for -u, -m and -s, one a line, `#` begins a comment; with -r or -R a log that is read once and kept; `-` is
    /// standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    pub input_file: Option<PathBuf>,
    /// Finds out what would be done, prints it, and changes neither side
    #[arg(long)]
    pub dry_run: bool,

    /// Connections that work at a time; rolling: over `mailtwin_workers`, else 1
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    pub jobs: Option<u64>,
    /// Tries to connect once, and ends when that fails; without it -r and -R try for ever
    #[arg(short = 'o', long)]
    pub connect_once: bool,
    /// Fails unless the replica compresses
    #[arg(short = 'z', long)]
    pub require_compression: bool,
    /// Never changes this side nor repairs by comparing all; where both sides changed, the replica gives way
    #[arg(short = 'O', long)]
    pub no_copyback: bool,
    /// Does not wait for users that another program is writing to; they fail at once
    #[arg(short = 'N', long)]
    pub skip_locked: bool,
    /// Changes the named mailboxes of the replica only, not what depends on them
    #[arg(short = 'L', long)]
    pub local_only: bool,
    /// Creates mailboxes on this partition of the replica instead of their own
    #[arg(short = 'p', long, value_name = "PARTITION")]
    pub dest_partition: Option<String>,
    /// Asks the replica to put new messages on its archive partition, where it has one
    #[arg(short = 'a', long)]
    pub stage_to_archive: bool,

    /// Rolling: least time between two looks at the log; over `sync_repeat_interval`
    #[arg(short = 'd', long, value_name = "SECONDS", value_parser = seconds)]
    pub delay: Option<Duration>,
    /// Rolling: age at which a connection is closed and made anew; 0 for never
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = seconds, default_value = "600")]
    pub timeout: Duration,
    /// Rolling: ends when this file appears, and removes it; over `sync_shutdown_file`
    #[arg(short = 'F', long, value_name = "FILE")]
    pub shutdown_file: Option<PathBuf>,
    /// Waits before it begins
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = seconds, default_value = "0", hide_default_value = true)]
    pub delayed_startup: Duration,
    /// Rolling in the background: where the process id is noted; default is `sync_client.pid` beside the channel's log
    #[arg(long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,

    /// Says on stderr what is done; twice: the protocol, without passwords and message bodies
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Logs each entry that is done, not only what goes wrong
    #[arg(short = 'l', long, action = ArgAction::Count)]
    pub verbose_logging: u8,
    /// Prints on stdout one JSON object a line: decisions where both sides had changed, the plan of a dry run, notices,
    /// failures, a summary
    #[arg(long)]
    pub json: bool,
}

/// What the program was asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// `-u`.
    Users,
    /// `-m`.
    Mailboxes,
    /// `-A`.
    AllUsers,
    /// `-s`.
    Meta,
    /// `-r`, `-R`, `-1`.
    Rolling,
}

impl Args {
    /// The one thing asked for.
    ///
    /// # Errors
    /// None, or several; or options that make no sense with it.
    pub fn mode(&self) -> Result<Mode, String> {
        let asked = [
            (self.userids, Mode::Users),
            (self.mailboxes, Mode::Mailboxes),
            (self.all_users, Mode::AllUsers),
            (self.sieve_mode, Mode::Meta),
            (self.rolling, Mode::Rolling),
            (self.foreground_rolling, Mode::Rolling),
        ];
        let mut asked = asked
            .into_iter()
            .filter_map(|(given, mode)| given.then_some(mode));
        let mode = match (asked.next(), asked.next()) {
            (Some(mode), None) => mode,
            (None, _) if self.rolling_once => Mode::Rolling,
            (None, _) => {
                return Err("say what to do: one of -u, -m, -A, -s, -r, -R (see --help)".to_owned());
            }
            (Some(_), Some(_)) => {
                return Err("-u, -m, -A, -s, -r and -R exclude each other; give one of them".to_owned());
            }
        };
        let rolling = mode == Mode::Rolling;
        let misfit = match () {
            () if rolling && !self.names.is_empty() => {
                Some("-r and -R take no names; they replicate what the log says")
            }
            () if rolling && self.dry_run => Some("--dry-run goes with -u, -m, -A and -s"),
            () if rolling && self.json => {
                Some("--json goes with -u, -m, -A and -s; for -r and -R set `mailtwin_log_format: json`")
            }
            () if !rolling && self.rolling_once => Some("-1 goes with -r and -R"),
            () if mode == Mode::AllUsers && self.input_file.is_some() => Some("-f does not go with -A"),
            () => None,
        };
        misfit.map_or(Ok(mode), |text| Err(text.to_owned()))
    }

    /// Whether this process is to leave its terminal: `-r`, but neither with a file, nor under Cyrus's process master.
    pub fn wants_background(&self) -> bool {
        self.rolling && self.input_file.is_none() && std::env::var_os("CYRUS_ISDAEMON").is_none()
    }
}

/// Seconds, or a duration as in the configuration (`1h30m`).
fn seconds(text: &str) -> Result<Duration, net::config::ValueError> {
    net::config::parse_duration(text, b's')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        let words = ["sync_client"].into_iter().chain(line.split_whitespace());
        Args::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// [CS-LOG-28]
    #[test]
    fn letters_mix_and_stand_where_they_like() {
        let short =
            args("-vlzoONLau jane -p two bob -d 1m -t 90 -n far -S far:1 -C /c -F /f -w 2 -v -f - -j 3");
        assert_eq!(short.mode(), Ok(Mode::Users));
        assert_eq!(short.names, ["jane", "bob"]);
        assert_eq!((short.verbose, short.verbose_logging), (2, 1));
        assert!(short.require_compression && short.connect_once && short.no_copyback && short.skip_locked);
        assert!(short.local_only && short.stage_to_archive);
        assert_eq!(
            (short.delay, short.timeout.as_secs()),
            (Some(Duration::from_secs(60)), 90)
        );
        assert_eq!((short.channel.as_deref(), short.jobs), (Some("far"), Some(3)));
        let long = args(
            "--verbose --verbose-logging --require-compression --connect-once --no-copyback --skip-locked --local-only \
             --stage-to-archive --userids jane --dest-partition two bob --delay 1m --timeout 90 --channel far \
             --server far:1 -C /c --shutdown-file /f --delayed-startup 2 -v --input-file - --jobs 3",
        );
        assert_eq!(format!("{short:?}"), format!("{long:?}"));
        assert_eq!(args("-R1").mode(), Ok(Mode::Rolling));
        assert_eq!(
            args("--foreground-rolling --rolling-once").mode(),
            Ok(Mode::Rolling)
        );
        assert_eq!(args("--rolling").mode(), Ok(Mode::Rolling));
        assert_eq!(args("--sieve-mode jane").mode(), Ok(Mode::Meta));
        assert_eq!(args("jane -m").mode(), Ok(Mode::Mailboxes));
        assert_eq!(args("-A").mode(), Ok(Mode::AllUsers));
        assert_eq!(args("-1").mode(), Ok(Mode::Rolling));
    }

    #[test]
    fn one_mode_and_what_fits_it() {
        for (line, said) in [
            ("jane", "say what to do"),
            ("-u -m jane", "exclude each other"),
            ("-r -R", "exclude each other"),
            ("-R jane", "take no names"),
            ("-R --dry-run", "--dry-run goes with"),
            ("-R --json", "mailtwin_log_format"),
            ("-u -1 jane", "-1 goes with"),
            ("-A -f x", "-f does not go with -A"),
        ] {
            let error = args(line).mode().expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
        for line in ["-j 0 -A", "-j 65 -A", "-d soon -R", "-Q"] {
            let words = ["sync_client"].into_iter().chain(line.split_whitespace());
            assert!(Args::try_parse_from(words).is_err(), "{line}");
        }
    }
}
