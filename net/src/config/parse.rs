//! The syntax: `name: value` lines, `#` comments, `\` continuation, `@include:`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, ConfigError, Entry, Place, Service, Warning, keys};

/// Reads a file and what it includes.
pub(super) fn load(path: &Path, service: Service) -> Result<Config, ConfigError> {
    let (config, mut errors) = load_all(path, service, false)?;
    match errors.pop() {
        Some(error) => Err(error),
        None => Ok(config),
    }
}

/// Reads a file and what it includes; with `all` goes on behind wrong lines, whose errors are the second part.
pub(super) fn load_all(
    path: &Path,
    service: Service,
    all: bool,
) -> Result<(Config, Vec<ConfigError>), ConfigError> {
    let mut reader = Reader {
        service,
        all,
        errors: Vec::new(),
        seen: BTreeSet::new(),
        config: Config {
            path: Arc::from(path),
            entries: std::collections::BTreeMap::new(),
            warnings: Vec::new(),
        },
    };
    match reader.file(path, None) {
        Err(error) if all => reader.errors.push(error),
        result => result?,
    }
    Ok((reader.config, reader.errors))
}

struct Reader {
    service: Service,
    /// Whether reading goes on behind a wrong line.
    all: bool,
    errors: Vec<ConfigError>,
    seen: BTreeSet<PathBuf>,
    config: Config,
}

impl Reader {
    fn file(&mut self, path: &Path, from: Option<Place>) -> Result<(), ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_path_buf(),
            from: from.clone(),
            source,
        };
        let identity = path.canonicalize().map_err(unreadable)?;
        let bytes = std::fs::read(path).map_err(unreadable)?;
        if !self.seen.insert(identity) {
            let place = from.unwrap_or(Place {
                file: Arc::from(path),
                line: 1,
            });
            return Err(line_error(place, format!("{} is included twice", path.display())));
        }
        let file: Arc<Path> = Arc::from(path);
        let mut whole: Vec<u8> = Vec::new();
        for (index, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(continued) = line.strip_suffix(b"\\") {
                whole.extend_from_slice(continued);
                continue;
            }
            whole.extend_from_slice(line);
            self.line(
                &whole,
                Place {
                    file: Arc::clone(&file),
                    line: index + 1,
                },
            )?;
            whole.clear();
        }
        self.line(
            &whole,
            Place {
                file,
                line: bytes.split(|&b| b == b'\n').count(),
            },
        )
    }

    fn line(&mut self, line: &[u8], place: Place) -> Result<(), ConfigError> {
        match self.sound_line(line, place) {
            Err(error) if self.all => {
                self.errors.push(error);
                Ok(())
            }
            result => result,
        }
    }

    fn sound_line(&mut self, line: &[u8], place: Place) -> Result<(), ConfigError> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(line_error(
                place,
                "the line is not UTF-8; save the file as UTF-8".to_owned(),
            ));
        };
        let Some((name, value)) = line.split_once(':') else {
            return Err(line_error(
                place,
                "this is no `name: value` line; comments begin with `#`".to_owned(),
            ));
        };
        let word = name.strip_prefix('@').unwrap_or(name);
        if word.is_empty()
            || !word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            let what = format!("`{}` is no option name; write `name: value`", name.escape_debug());
            return Err(line_error(place, what));
        }
        let (key, value) = (name.to_ascii_lowercase(), value.trim());
        if value.is_empty() {
            return Err(line_error(
                place,
                format!("`{key}` has no value; give it one or remove the line"),
            ));
        }
        match key.as_str() {
            "@include" => {
                let base = place.file.parent().unwrap_or(Path::new("")).join(value);
                self.file(&base, Some(place))
            }
            _ if key.starts_with('@') => Err(line_error(
                place,
                format!("`{key}` is no directive; the only one is `@include`"),
            )),
            _ => self.option(key, value.to_owned(), place),
        }
    }

    fn option(&mut self, full: String, value: String, place: Place) -> Result<(), ConfigError> {
        let stripped = keys::strip_service(&full, self.service).map(str::to_owned);
        let service_specific = stripped.is_some();
        if !keys::is_known(&full) {
            self.warn_unknown(&full, &place);
        }
        let key = stripped.unwrap_or_else(|| full.clone());
        if let Some(earlier) = self.config.entries.get(&key) {
            if earlier.service_specific == service_specific {
                let what = format!(
                    "`{full}` is set again (first at {}); remove one of the lines",
                    earlier.place
                );
                return Err(line_error(place, what));
            }
            if earlier.service_specific {
                return Ok(());
            }
        }
        self.config.entries.insert(
            key,
            Entry {
                value,
                place,
                service_specific,
            },
        );
        Ok(())
    }

    fn warn_unknown(&mut self, key: &str, place: &Place) {
        let hint = keys::nearest(key).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let whose = if key.starts_with(keys::OWN_PREFIX) {
            "mailtwin"
        } else {
            "neither Cyrus nor mailtwin"
        };
        let verb = if key.starts_with(keys::OWN_PREFIX) {
            "does not know"
        } else {
            "knows"
        };
        let text = format!("{whose} {verb} the option `{key}`; it is ignored{hint}");
        self.config.warnings.push(Warning {
            place: place.clone(),
            text,
        });
    }
}

fn line_error(place: Place, what: String) -> ConfigError {
    ConfigError::Line { place, what }
}
