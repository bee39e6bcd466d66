//! Which option names are known, so that a typing error does not pass in silence.

use super::Service;

/// Names of the options of Cyrus 3.2 to 3.12, one a line, sorted.
const CYRUS_KEYS: &str = include_str!("cyrus-keys.txt");

/// Families whose names go on with a name of the operator's choice.
const CYRUS_FAMILIES: [&str; 5] = [
    "partition-",
    "metapartition-",
    "archivepartition-",
    "backuppartition-",
    "sasl_",
];

/// Endings that follow the name of another server, of a search tier or of a channel.
const CYRUS_ENDINGS: [&str; 6] = [
    "_mechs",
    "_password",
    "_client_cert",
    "_client_key",
    "_limit",
    "_extra_params",
];

/// Keys that belong to mailtwin alone; sorted.
pub(super) const OWN_KEYS: [&str; 29] = [
    "mailtwin_allow_plaintext",
    "mailtwin_busy_connections",
    "mailtwin_compress",
    "mailtwin_connections",
    "mailtwin_listen",
    "mailtwin_log_format",
    "mailtwin_login_timeout",
    "mailtwin_metrics_listen",
    "mailtwin_pidfile",
    "mailtwin_quarantine_after",
    "mailtwin_quarantine_retry",
    "mailtwin_quarantine_wait",
    "mailtwin_retry_maxwait",
    "mailtwin_retry_wait",
    "mailtwin_server_metrics_listen",
    "mailtwin_shutdown_grace",
    "mailtwin_socket_mode",
    "mailtwin_store",
    "mailtwin_tls",
    "mailtwin_tls_fingerprint",
    "mailtwin_tls_name",
    "mailtwin_tls_verify",
    "mailtwin_unauthenticated_bytes",
    "mailtwin_unauthenticated_connections",
    "mailtwin_unauthenticated_per_address",
    "mailtwin_user",
    "mailtwin_wake",
    "mailtwin_workers",
    "sync_compress",
];

/// Prefix of the keys that are ours.
pub(super) const OWN_PREFIX: &str = "mailtwin_";

/// Whether Cyrus, or mailtwin, knows the option. `key` is in lower case.
pub(super) fn is_known(key: &str) -> bool {
    is_option(key)
        || CYRUS_FAMILIES
            .iter()
            .any(|family| key.len() > family.len() && key.starts_with(family))
        || key
            .find("searchpartition-")
            .is_some_and(|at| key.len() > at + "searchpartition-".len())
        || CYRUS_ENDINGS
            .iter()
            .any(|ending| key.len() > ending.len() && key.ends_with(ending))
        || has_service_prefix(key)
}

/// Takes the program's own service prefix off, when an option (or a family) follows it.
pub(super) fn strip_service(key: &str, service: Service) -> Option<&str> {
    let rest = key.strip_prefix(service.prefix()?)?;
    (is_option(rest) || rest.starts_with("partition-")).then_some(rest)
}

/// Letters that may be wrong in a name that is recognised all the same.
const NEAR: usize = 2;

/// The known name nearest to a mistyped one, when one is near enough to be meant.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let near = |name: &&'static str| {
        // Names of other lengths are further away than that, and a line of garbage may be long.
        if name.len().abs_diff(key.len()) > NEAR {
            return None;
        }
        let distance = distance(key, name);
        (distance <= NEAR && distance * 3 < key.len()).then_some((distance, *name))
    };
    OWN_KEYS
        .iter()
        .copied()
        .chain(CYRUS_KEYS.lines())
        .filter_map(|name| near(&name))
        .min()
        .map(|(_, name)| name)
}

/// Whether the name is an option as it stands.
pub(super) fn is_option(key: &str) -> bool {
    OWN_KEYS.binary_search(&key).is_ok() || CYRUS_KEYS.lines().any(|name| name == key)
}

/// Any service may have an option of its own (`imaps_tls_required`), and any channel (`far_sync_host`).
fn has_service_prefix(key: &str) -> bool {
    !key.starts_with(OWN_PREFIX)
        && key
            .match_indices('_')
            .any(|(at, _)| at > 0 && is_option(&key[at + 1..]))
}

/// Keys that belong to mailtwin alone, sorted.
pub fn own_keys() -> impl Iterator<Item = &'static str> {
    OWN_KEYS.into_iter()
}

/// Cyrus's keys about replication, sorted.
pub fn sync_keys() -> impl Iterator<Item = &'static str> {
    CYRUS_KEYS
        .lines()
        .filter(|key| key.starts_with("sync_") || *key == "debug_log_sync_partition_choice")
}

/// Cyrus's keys about TLS, sorted.
pub fn tls_keys() -> impl Iterator<Item = &'static str> {
    CYRUS_KEYS
        .lines()
        .filter(|key| key.starts_with("tls_") || key.starts_with("tlscache_") || *key == "allowstarttls")
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.as_bytes().iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.as_bytes().iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_of_names_only() {
        assert!(OWN_KEYS.is_sorted());
        assert!(CYRUS_KEYS.lines().is_sorted());
        let word = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        };
        assert!(CYRUS_KEYS.lines().all(word));
        assert!(CYRUS_KEYS.lines().count() > 500);
    }

    #[test]
    fn known_names() {
        for key in [
            "configdirectory",
            "partition-default",
            "metapartition-default",
            "fastsearchpartition-default",
            "sasl_pwcheck_method",
            "sync_timeout",
            "imap_admins",
            "far_sync_host",
            "backend1_mechs",
            "mailtwin_listen",
            "syncserver_mailtwin_listen",
        ] {
            assert!(is_known(key), "{key}");
        }
        for key in [
            "partition-",
            "sync_timout",
            "mailtwin_lisen",
            "mailtwin_admins",
            "_admins",
            "nonsense",
        ] {
            assert!(!is_known(key), "{key}");
        }
    }

    #[test]
    fn only_the_own_prefix_is_taken_off() {
        assert_eq!(
            strip_service("syncserver_admins", Service::SyncServer),
            Some("admins")
        );
        assert_eq!(strip_service("syncserver_admins", Service::SyncClient), None);
        assert_eq!(strip_service("syncserver_nonsense", Service::SyncServer), None);
        assert_eq!(strip_service("admins", Service::SyncServer), None);
    }

    #[test]
    fn near_names() {
        assert_eq!(nearest("sync_timout"), Some("sync_timeout"));
        assert_eq!(nearest("mailtwin_lisen"), Some("mailtwin_listen"));
        assert_eq!(nearest("zzzzzzzz"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
