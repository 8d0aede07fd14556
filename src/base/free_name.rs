//! Chooses a name for a new file, so that no existing file is replaced.

use std::path::Path;

/// Returns `stem` and `ending` as the name of a new file. If this name exists, puts a number between them: `a_2.npz`.
pub fn free_name(stem: &str, ending: &str) -> String {
    let mut name = format!("{stem}{ending}");
    let mut number = 1;
    while Path::new(&name).symlink_metadata().is_ok() {
        number += 1;
        name = format!("{stem}_{number}{ending}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::free_name;

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let stem = dir.path().join("a").to_str().unwrap().to_owned();
        assert_eq!(free_name(&stem, ".npz"), format!("{stem}.npz"));
        std::fs::write(format!("{stem}.npz"), "").unwrap();
        assert_eq!(free_name(&stem, ".npz"), format!("{stem}_2.npz"));
        std::fs::create_dir(format!("{stem}_2.npz")).unwrap();
        std::os::unix::fs::symlink("nowhere", format!("{stem}_3.npz")).unwrap();
        assert_eq!(free_name(&stem, ".npz"), format!("{stem}_4.npz"));
        assert_eq!(free_name(&stem, ".npy"), format!("{stem}.npy"));
    }
}
