use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::{FileError, Folders, NewFile, commit_all};

/// A folder `in` with a file, beside a file that nobody may reach.
fn scene() -> (TempDir, Folders) {
    let scene = TempDir::new().expect("a folder");
    fs::create_dir_all(scene.path().join("in/deep")).expect("folders");
    fs::write(scene.path().join("in/a.txt"), "inside").expect("a file");
    fs::write(scene.path().join("secret.txt"), "outside").expect("a file");
    let folders = Folders::open("folders.read", &[scene.path().join("in")]).expect("opens");
    (scene, folders)
}

fn kind<T>(result: Result<T, FileError>) -> &'static str {
    result.err().map_or("none", |error| error.kind())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn write(folders: &Folders, path: &str, content: &str) -> Result<std::path::PathBuf, FileError> {
    let mut file: NewFile = folders.create(path)?;
    file.write_all(content.as_bytes()).expect("writes");
    file.commit()
}

#[test]
fn reads_what_lies_inside() {
    let (scene, folders) = scene();
    let absolute = scene.path().join("in/a.txt");
    for path in [
        "a.txt",
        "./a.txt",
        "deep/../a.txt",
        absolute.to_str().expect("UTF-8"),
    ] {
        assert_eq!(folders.read(path, 6).expect(path), b"inside", "{path}");
        assert_eq!(
            folders.real_path(path).expect(path),
            absolute.canonicalize().expect("exists")
        );
    }
}

#[test]
fn nothing_outside_is_read_or_written() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in");
    symlink("../secret.txt", inside.join("relative")).expect("a link");
    symlink(scene.path().join("secret.txt"), inside.join("absolute")).expect("a link");
    symlink("..", inside.join("up")).expect("a link");
    let absolute = scene.path().join("secret.txt");
    let sibling = format!("{}x/secret.txt", inside.display());
    for path in [
        "../secret.txt",
        "deep/../../secret.txt",
        "relative",
        "absolute",
        "up/secret.txt",
        absolute.to_str().expect("UTF-8"),
        &sibling,
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        assert_eq!(kind(folders.read(path, 100)), "path_not_allowed", "{path}");
        assert_eq!(kind(folders.real_path(path)), "path_not_allowed", "{path}");
    }
    for path in ["../new.txt", "up/new.txt", "up/new/new.txt", "/tmp/new.txt"] {
        assert_eq!(kind(folders.create(path)), "path_not_allowed", "{path}");
    }
    assert_eq!(names(scene.path()), ["in", "secret.txt"]);
}

#[test]
fn a_link_at_the_target_is_replaced_and_not_followed() {
    let (scene, folders) = scene();
    symlink("../secret.txt", scene.path().join("in/link")).expect("a link");
    write(&folders, "link", "new").expect("writes");
    assert_eq!(
        fs::read(scene.path().join("secret.txt")).expect("reads"),
        b"outside"
    );
    assert_eq!(
        fs::read(scene.path().join("in/link")).expect("reads"),
        b"new"
    );
}

#[test]
fn without_folders_everything_is_refused_with_the_setting_to_change() {
    let folders = Folders::open("folders.read", &[]).expect("opens");
    for path in ["a.txt", "/etc/passwd"] {
        let error = folders.read(path, 100).expect_err("refused");
        assert_eq!(error.kind(), "path_not_allowed");
        assert!(error.to_string().contains("folders.read"), "{error}");
    }
}

#[test]
fn of_folders_within_each_other_the_innermost_counts() {
    let (scene, _) = scene();
    let outer = scene.path().join("in");
    let folders =
        Folders::open("folders.read", &[outer.clone(), outer.join("deep")]).expect("opens");
    symlink("../a.txt", outer.join("deep/link")).expect("a link");
    let path = outer.join("deep/link");
    assert_eq!(
        kind(folders.read(path.to_str().expect("UTF-8"), 100)),
        "path_not_allowed"
    );
    assert_eq!(
        folders
            .read("deep/link", 100)
            .expect("within the outer one"),
        b"inside"
    );
}

#[test]
fn only_regular_files_are_read() {
    let (scene, folders) = scene();
    let pipe = scene.path().join("in/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    let _socket =
        std::os::unix::net::UnixListener::bind(scene.path().join("in/socket")).expect("a socket");
    for path in ["deep", "pipe", "socket", ".", "deep/..", "a.txt/b"] {
        assert_eq!(kind(folders.read(path, 100)), "not_a_file", "{path}");
    }
    for path in ["deep", ".", "deep/", "new/", "a.txt/b"] {
        assert_eq!(kind(folders.create(path)), "not_a_file", "{path}");
    }
}

#[test]
fn what_is_no_path_is_said_to_be_none() {
    let (_scene, folders) = scene();
    for path in ["", "a\0b", &"x".repeat(256)] {
        assert_eq!(kind(folders.read(path, 100)), "invalid_path");
        assert_eq!(
            kind(folders.create(path).and_then(NewFile::commit)),
            "invalid_path"
        );
    }
    assert_eq!(kind(folders.read("missing.txt", 100)), "not_found");
    let error = folders
        .read(&"x/".repeat(4_000_000), 1)
        .expect_err("too long");
    assert!(error.to_string().len() < 1000, "{error}");
}

#[test]
fn the_limit_counts_bytes() {
    let (_scene, folders) = scene();
    let error = folders.read("a.txt", 5).expect_err("too large");
    assert_eq!(error.kind(), "file_too_large");
    assert!(
        error.to_string().contains("6 bytes") && error.to_string().contains("at most 5"),
        "{error}"
    );
    // It has no length before it is read.
    let proc = Folders::open("folders.read", &["/proc/self".into()]).expect("opens");
    assert_eq!(kind(proc.read("status", 5)), "file_too_large");
}

#[test]
fn a_new_file_appears_when_it_is_committed() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in");
    let mut file = folders.create("new/deeper/b.txt").expect("creates");
    file.write_all(b"whole").expect("writes");
    assert_eq!(names(&inside.join("new/deeper")), [""; 0]);
    let path = file.commit().expect("commits");
    assert_eq!(
        path,
        inside
            .canonicalize()
            .expect("exists")
            .join("new/deeper/b.txt")
    );
    assert_eq!(fs::read(path).expect("reads"), b"whole");
    write(&folders, "new/deeper/b.txt", "replaced").expect("replaces");
    assert_eq!(
        fs::read(inside.join("new/deeper/b.txt")).expect("reads"),
        b"replaced"
    );
    assert_eq!(names(&inside.join("new/deeper")), ["b.txt"]);
    let longest = "x".repeat(255);
    write(&folders, &longest, "1").expect("writes");
    write(&folders, &longest, "2").expect("replaces");
    assert_eq!(names(&inside), ["a.txt", "deep", "new", longest.as_str()]);
}

#[test]
fn what_is_not_committed_leaves_nothing() {
    let (scene, folders) = scene();
    let mut file = folders.create("a.txt").expect("creates");
    file.write_all(b"half").expect("writes");
    drop(file);
    assert_eq!(names(&scene.path().join("in")), ["a.txt", "deep"]);
    assert_eq!(folders.read("a.txt", 100).expect("reads"), b"inside");
}

#[test]
fn a_folder_that_takes_the_name_meanwhile_keeps_it() {
    let (scene, folders) = scene();
    let file = folders.create("late").expect("creates");
    fs::create_dir(scene.path().join("in/late")).expect("a folder");
    assert_eq!(kind(file.commit()), "not_a_file");
    assert_eq!(names(&scene.path().join("in")), ["a.txt", "deep", "late"]);
}

/// Begins files with the content `new`.
fn begin(folders: &Folders, paths: &[&str]) -> Vec<NewFile> {
    let begin = |path: &&str| {
        let mut file = folders.create(path).expect("creates");
        file.write_all(b"new").expect("writes");
        file
    };
    paths.iter().map(begin).collect()
}

#[test]
fn files_get_their_names_together() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in").canonicalize().expect("exists");
    let paths = ["a.txt", "deep/b.txt", "c.txt"];
    let places = commit_all(begin(&folders, &paths)).expect("commits");
    assert_eq!(places, paths.map(|path| inside.join(path)));
    for place in places {
        assert_eq!(fs::read(place).expect("reads"), b"new");
    }
    assert_eq!(names(&inside), ["a.txt", "c.txt", "deep"]);
    assert_eq!(names(&inside.join("deep")), ["b.txt"]);
    assert!(commit_all(Vec::new()).expect("commits").is_empty());
}

#[test]
fn when_one_file_cannot_have_its_name_all_names_stay_as_they_were() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in");
    symlink("a.txt", inside.join("link")).expect("a link");
    let old = fs::metadata(inside.join("a.txt")).expect("exists");
    // The folder comes when all files are begun, as the first, one in the middle, or the last.
    for at in 0..4 {
        let mut paths = vec!["a.txt", "link", "fresh"];
        paths.insert(at, "late");
        let files = begin(&folders, &paths);
        fs::create_dir(inside.join("late")).expect("a folder");
        assert_eq!(kind(commit_all(files)), "not_a_file", "{at}");
        assert_eq!(names(&inside), ["a.txt", "deep", "late", "link"], "{at}");
        fs::remove_dir(inside.join("late")).expect("is empty");
        let now = fs::metadata(inside.join("a.txt")).expect("exists");
        assert_eq!(now.ino(), old.ino(), "{at}");
        let link = fs::read_link(inside.join("link")).expect("a link");
        assert_eq!(link, Path::new("a.txt"), "{at}");
    }
    assert_eq!(fs::read(inside.join("a.txt")).expect("reads"), b"inside");
}

/// What somebody sees who looks meanwhile is what is left when the process is killed.
#[test]
fn a_name_has_its_old_content_or_its_new_one_at_any_moment() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in");
    fs::write(inside.join("b.txt"), "inside").expect("a file");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..300 {
                let files = begin(&folders, &["a.txt", "b.txt", "late"]);
                fs::create_dir(inside.join("late")).expect("a folder");
                assert_eq!(kind(commit_all(files)), "not_a_file");
                fs::remove_dir(inside.join("late")).expect("is empty");
                if round % 3 == 0 {
                    commit_all(begin(&folders, &["b.txt", "a.txt"])).expect("commits");
                }
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            for name in ["a.txt", "b.txt"] {
                let content = fs::read(inside.join(name)).expect("the name is there");
                assert!(content == b"inside" || content == b"new", "{content:?}");
            }
        }
    });
    assert_eq!(names(&inside), ["a.txt", "b.txt", "deep"]);
}

#[test]
fn without_hard_links_what_is_replaced_is_copied() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in");
    let file = folders.create("a.txt").expect("creates");
    let no_link = rustix::io::Errno::PERM;
    file.copy_old("kept".as_ref(), no_link).expect("copies");
    assert_eq!(fs::read(inside.join("kept")).expect("reads"), b"inside");
    let pipe = folders.create("pipe").expect("creates");
    let (cwd, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(
        cwd,
        inside.join("pipe"),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .expect("a pipe");
    let error = pipe
        .copy_old("kept2".as_ref(), no_link)
        .expect_err("no file");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(names(&inside), ["a.txt", "deep", "kept", "pipe"]);
}

#[test]
fn a_new_file_has_the_rights_that_any_new_file_has() {
    let (scene, folders) = scene();
    let path = write(&folders, "b.txt", "").expect("writes");
    fs::write(scene.path().join("in/c.txt"), "").expect("writes");
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode();
    assert_eq!(mode(&path), mode(&scene.path().join("in/c.txt")));
}

#[test]
fn a_folder_that_was_replaced_is_the_new_one() {
    let (scene, folders) = scene();
    let inside = scene.path().join("in");
    fs::rename(&inside, scene.path().join("old")).expect("renames");
    fs::create_dir(&inside).expect("a folder");
    fs::write(inside.join("a.txt"), "new").expect("a file");
    assert_eq!(folders.read("a.txt", 100).expect("reads"), b"new");
}

#[test]
fn folders_of_the_configuration_are_checked() {
    let (scene, _) = scene();
    let missing = scene.path().join("missing");
    let error = Folders::open("folders.read", std::slice::from_ref(&missing)).expect_err("missing");
    assert!(error.to_string().starts_with("folders.read: "), "{error}");
    assert!(Folders::open("folders.read", &[scene.path().join("secret.txt")]).is_err());
    let made = Folders::open_or_create("folders.write", &[missing.join("deep")]).expect("makes it");
    assert!(!made.is_empty());
    write(&made, "a.txt", "1").expect("writes");
}
