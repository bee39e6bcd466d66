use super::*;

const HOUR_MS: u64 = 3_600_000;

fn status() -> ChannelStatus {
    let mut status = ChannelStatus::starting(Some("far"), "replica.example.org:2005", 1_000_000);
    status.state = State::Waiting { until_ms: 1_015_000 };
    status.queue.queued = 3;
    status.queue.oldest_logged_at_ms = Some(940_000);
    status.failed(1_000_000, "connect", "connection refused");
    status.succeeded(990_000, 2);
    status.set_quarantine([Quarantined {
        action: "MAILBOX \"user.a b\"".to_owned(),
        logged_at_ms: 1,
        since_ms: 2,
        attempts: 8,
        reason: "refused".to_owned(),
    }]);
    status.sample(1_000_000);
    status
}

#[test]
fn a_file_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = StatusFile::path(folder.path(), Some("far"));
    assert_eq!(path, folder.path().join("sync/far/mailtwin-status.json"));
    assert!(StatusFile::read(&path).unwrap().is_none());
    let status = status();
    StatusFile::write(&path, &status).unwrap();
    assert_eq!(StatusFile::read(&path).unwrap(), Some(status));
    let names: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE_NAME], "nothing else is left behind");
}

#[test]
fn the_default_channel_has_no_folder() {
    let at = |channel| StatusFile::path(std::path::Path::new("/c"), channel);
    assert_eq!(at(None), at(Some("")));
    assert_eq!(at(None), std::path::Path::new("/c/sync/mailtwin-status.json"));
}

#[test]
fn unknown_fields_are_skipped_and_newer_formats_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let mut json = serde_json::to_value(status()).unwrap();
    json["tomorrow"] = "more".into();
    std::fs::write(&path, json.to_string()).unwrap();
    assert_eq!(StatusFile::read(&path).unwrap(), Some(status()));
    json["version"] = 2.into();
    json["queue"] = "something else altogether".into();
    std::fs::write(&path, json.to_string()).unwrap();
    assert!(matches!(
        StatusFile::read(&path),
        Err(StatusError::Newer { found: 2, .. })
    ));
}

#[test]
fn damage_is_told_and_size_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    for text in ["", "{", "[]", "{\"version\":1}", "{\"version\":-1}"] {
        std::fs::write(&path, text).unwrap();
        assert!(
            matches!(StatusFile::read(&path), Err(StatusError::Damaged { .. })),
            "{text}"
        );
    }
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(SIZE_BYTES_MAX + 1).unwrap();
    let error = StatusFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("more than"), "{error}");
}

#[test]
fn history_is_bounded_and_shows_the_worst() {
    let mut status = status();
    status.history.clear();
    status.queue = Queue::default();
    for second in 0..5_000u64 {
        status.queue.queued = u64::from(second == 4_995);
        status.queue.oldest_logged_at_ms = (second == 4_995).then(|| (second - 7) * 1000);
        status.sample(second * 1000);
    }
    assert_eq!(status.history.len(), HISTORY_SAMPLES_MAX);
    let newest = status.history[HISTORY_SAMPLES_MAX - 1];
    assert_eq!(
        (newest.at_ms, newest.lag_ms, newest.waiting),
        (4_990_000, 7_000, 1)
    );
    assert!(status.history[0].at_ms >= 4_999_000 - HOUR_MS);
    status.sample(1_000);
    assert_eq!(status.history.len(), 1, "a clock set back begins anew");
}

#[test]
fn texts_and_codes_are_bounded() {
    let mut status = status();
    for code in 0..200 {
        status.failed(1, &format!("CODE_{code}"), &"ä".repeat(10_000));
    }
    assert!(status.totals.errors.len() <= ERROR_CODES_MAX + 1);
    assert_eq!(status.totals.errors.values().sum::<u64>(), 201);
    assert_eq!(
        status.last_error.unwrap().text.chars().count(),
        TEXT_CHARS_MAX + 1
    );
    let one = status.quarantine[0].clone();
    let mut status = self::status();
    status.set_quarantine(std::iter::repeat_n(one, 250));
    assert_eq!(
        (status.quarantine.len(), status.queue.quarantined),
        (QUARANTINE_LISTED_MAX, 250)
    );
}

#[test]
fn lag_is_the_age_of_the_oldest() {
    let status = status();
    assert_eq!(status.queue.lag_ms(1_000_000), 60_000);
    assert_eq!(status.queue.lag_ms(0), 0, "a clock set back is no lag");
    assert_eq!(Queue::default().lag_ms(5), 0);
    assert!(!status.is_over(1_000_000 + STALE_MS));
    assert!(status.is_over(1_000_001 + STALE_MS));
}

#[test]
fn a_publisher_writes_changes_of_state_at_once_and_others_each_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = StatusFile::path(folder.path(), None);
    let mut publisher = Publisher::new(path.clone());
    let mut status = ChannelStatus::starting(None, "replica", 0);
    let stored = || StatusFile::read(&path).unwrap().unwrap();
    publisher.publish(&mut status, 0);
    status.succeeded(100, 1);
    publisher.publish(&mut status, 100);
    assert_eq!(stored().totals.changes, 0, "too soon");
    publisher.publish(&mut status, 1_000);
    assert_eq!(stored().totals.changes, 1);
    status.state = State::Connected;
    publisher.publish(&mut status, 1_001);
    assert_eq!(stored().state, State::Connected);
    publisher.publish(&mut status, 3_000);
    assert_eq!(stored().updated_at_ms, 1_001, "nothing new");
    publisher.publish(&mut status, 11_001);
    assert_eq!(stored().updated_at_ms, 11_001, "still alive");
}
