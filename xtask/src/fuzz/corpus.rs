//! The committed corpus: seeded from the spec, grown by runs, kept small.

use std::path::Path;

use super::Place;
use crate::step;

/// Inputs of one target that are kept, bytes in all.
const KEPT_BYTES_MAX: u64 = 28 * 1024;
/// Inputs of one target that are kept.
const KEPT_MAX: usize = 100;

/// Writes seeds beside what runs have grown.
pub fn seed(place: &Place) -> bool {
    let folder = place.made.join("corpus");
    let command = format!("run --locked --example seed -- {}", folder.display());
    place.cargo("seed the corpus", &command).ok
}

/// Replaces a target's committed corpus by the smallest inputs that reach all that it and the grown one reach; when they are
/// more than may be kept, by some of every size.
pub fn minimise(place: &Place, target: &str) -> bool {
    let (kept, grown) = (place.kept(target), place.grown(target));
    let merged = place.made.join("merged").join(target);
    // What an interrupted run left; that there is none is fine.
    let _ = std::fs::remove_dir_all(&merged);
    let made = [&merged, &kept, &grown]
        .into_iter()
        .try_for_each(std::fs::create_dir_all);
    if let Err(error) = made {
        println!("   cannot make the folders: {error}");
        return false;
    }
    let command = format!(
        "{} -set_cover_merge=1 {} {} {} {} 2>&1 | tail -3",
        place.program(target).display(),
        place.options(),
        merged.display(),
        kept.display(),
        grown.display(),
    );
    step::run(&format!("minimise the corpus of {target}"), &command, &[]).ok && replace(&merged, &kept)
}

/// Fills `kept` with files of `merged`.
fn replace(merged: &Path, kept: &Path) -> bool {
    let read = |folder: &Path| -> std::io::Result<Vec<(u64, std::path::PathBuf)>> {
        let entries = std::fs::read_dir(folder)?;
        entries
            .map(|entry| {
                let entry = entry?;
                Ok((entry.metadata()?.len(), entry.path()))
            })
            .collect()
    };
    let work = || -> std::io::Result<()> {
        let mut inputs = read(merged)?;
        if inputs.is_empty() {
            return Err(std::io::Error::other("the merge kept nothing"));
        }
        inputs.sort();
        if inputs.len() > KEPT_MAX {
            inputs = (0..KEPT_MAX)
                .map(|n| inputs[n * inputs.len() / KEPT_MAX].clone())
                .collect();
        }
        for (_, old) in read(kept)? {
            std::fs::remove_file(old)?;
        }
        let (mut bytes, mut count) = (0, 0);
        for (size, path) in inputs {
            bytes += size;
            if bytes > KEPT_BYTES_MAX {
                bytes -= size;
                break;
            }
            std::fs::copy(&path, kept.join(path.file_name().unwrap_or_default()))?;
            count += 1;
        }
        println!("   {count} inputs, {bytes} bytes");
        Ok(())
    };
    work().inspect_err(|error| println!("   {error}")).is_ok()
}
