//! The directories lclaude uses, read from the environment once and then passed on.
//!
//! Only the runtime directory is created here, because it must be private before anything is put into it. Claude Code's
//! own paths are in `claude`.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use rustix::fs::Access;

use super::{
    error::{Code, Failure, Result},
    process, ui,
    variables::Variables,
    wsl,
};

/// The longest allowed path of the runtime directory, in bytes: macOS limits a socket path to 104, and the longest name
/// in the directory (`/<16 hex digits>.preset`) takes 24.
const MAX_RUNTIME_PATH: usize = 104 - 24;

/// lclaude's directories and files.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub home: PathBuf,
    pub config_file: PathBuf,
    /// Directory for logs and for facts remembered between runs.
    pub state: PathBuf,
    /// Directory for what can be made again, at a price.
    pub cache: PathBuf,
    /// Directory for sockets, locks and the private files of sessions: the first usable one of `candidates`.
    runtime: PathBuf,
    /// All places of the runtime directory, the preferred first. Another environment, such as cron's or that of a
    /// login without `XDG_RUNTIME_DIR`, may have led to another one.
    candidates: Vec<PathBuf>,
}

impl Places {
    /// Returns the paths that the environment calls for.
    ///
    /// # Errors
    /// `Config` when the home directory is unknown or missing, or a path isn't UTF-8.
    pub(crate) fn find(variables: &Variables) -> Result<Self> {
        let home = home()?;
        let config = xdg(variables, "XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let state = xdg(variables, "XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        // No session fails because of it.
        let cache = xdg(variables, "XDG_CACHE_HOME").filter(|cache| cache.to_str().is_some());
        let cache = cache.unwrap_or_else(|| home.join(".cache"));
        let candidates = runtime_candidates(variables);
        let runtime = candidates.iter().find(|place| check_candidate(place).is_ok()).or(candidates.last());
        let runtime = runtime.cloned().unwrap_or_default();
        // Keepers and state files receive these paths as text.
        let places =
            [("HOME", &home), ("XDG_CONFIG_HOME", &config), ("XDG_STATE_HOME", &state), ("XDG_RUNTIME_DIR", &runtime)];
        if let Some((name, place)) = places.into_iter().find(|(_, place)| place.to_str().is_none()) {
            return Err(Failure::new(Code::Config, format!("{} cannot be used", place.display()))
                .cause("paths must be valid UTF-8")
                .help(format!("export {name}=/path/in/utf-8")));
        }
        Ok(Places {
            config_file: config.join("lclaude/config.toml"),
            state: state.join("lclaude"),
            cache: cache.join("lclaude"),
            runtime,
            candidates,
            home,
        })
    }

    /// Returns the runtime directory, which may be missing.
    ///
    /// Its files must be our own: lclaude runs programs, ends processes and sends prompts to addresses that they name.
    ///
    /// # Errors
    /// `Config` when it is a symlink, belongs to another user or is writable by others.
    pub(crate) fn runtime(&self) -> Result<&Path> {
        check_if_there(&self.runtime)?;
        Ok(&self.runtime)
    }

    /// Returns all directories in which keepers and sessions of this user may be: the runtime directory, which may be
    /// missing, and the other places that exist and are private.
    ///
    /// # Errors
    /// Those of [`Places::runtime`].
    pub(crate) fn runtimes(&self) -> Result<Vec<PathBuf>> {
        let inode = |place: &Path| fs::symlink_metadata(place).ok().map(|meta| (meta.dev(), meta.ino()));
        let mut found = vec![(self.runtime()?.to_owned(), inode(&self.runtime))];
        for place in &self.candidates {
            let Some(inode) = inode(place) else { continue };
            // `XDG_RUNTIME_DIR` may name `/run/user/UID` through a link.
            if found.iter().all(|(_, known)| *known != Some(inode)) && is_private(place) {
                found.push((place.clone(), Some(inode)));
            }
        }
        Ok(found.into_iter().map(|(place, _)| place).collect())
    }

    /// Returns the path of the runtime directory unchecked, for display only.
    pub(crate) fn runtime_name(&self) -> &Path {
        &self.runtime
    }

    /// Returns why the runtime directory isn't in `XDG_RUNTIME_DIR`, or `None` if it is or the variable isn't set.
    pub(crate) fn passed_over(&self, variables: &Variables) -> Option<Failure> {
        let named = xdg(variables, "XDG_RUNTIME_DIR")?.join("lclaude");
        if named == self.runtime { None } else { check_candidate(&named).err() }
    }

    /// Checks whether [`ready_runtime`] would succeed, without creating anything.
    ///
    /// # Errors
    /// The same as [`ready_runtime`].
    pub(crate) fn check_runtime(&self) -> Result<()> {
        check_if_there(&self.runtime)?;
        check_can_be_made(&self.runtime)
    }
}

/// Creates a runtime directory if it is missing, with mode 0700. If it exists, sets that mode.
///
/// # Errors
/// `Config` when it is a symlink, belongs to another user, or can't be made private.
pub(crate) fn ready_runtime(runtime: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(runtime) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(not_private(runtime, "cannot be created", error.to_string()));
        }
        _ => {}
    }
    let meta = fs::symlink_metadata(runtime);
    let meta = meta.map_err(|error| not_private(runtime, "cannot be read", error.to_string()))?;
    check_owner_and_mode(runtime, &meta)?;
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(runtime, fs::Permissions::from_mode(0o700))
            .map_err(|error| not_private(runtime, "cannot be made private", error.to_string()))?;
    }
    Ok(())
}

/// Returns the failure for a runtime directory in which files can't be created.
pub(crate) fn runtime_unusable(runtime: &Path, error: io::Error) -> Failure {
    Failure::new(Code::Config, format!("the runtime directory {} cannot be used", runtime.display()))
        .cause(error)
        .help(format!("df -h {0}; ls -ld {0}", runtime.display()))
}

/// Returns a path absolute and as the user named it: a relative one starts at the working directory, and links are kept.
/// Only `.` and `..` are resolved, so that the same file named from two directories has one name. What stands before a
/// `..` is resolved as the system does it, which follows links.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect();
    let parts: Vec<Component> = path.components().collect();
    let Some(up) = parts.iter().rposition(|part| *part == Component::ParentDir) else {
        return path;
    };
    let (before, after) = parts.split_at(up + 1);
    match before.iter().collect::<PathBuf>().canonicalize() {
        Ok(start) => start.join(after.iter().collect::<PathBuf>()),
        Err(_) => path,
    }
}

/// Returns the directory in an XDG variable. Relative paths are ignored, as the XDG specification requires.
fn xdg(variables: &Variables, name: &str) -> Option<PathBuf> {
    variables.path(name).filter(|path| path.is_absolute())
}

fn home() -> Result<PathBuf> {
    // Claude Code would take a relative or empty HOME to be in the working directory.
    if let Some(named) = env::var_os("HOME").map(PathBuf::from).filter(|home| !home.is_absolute()) {
        let failure = Failure::new(Code::Config, "your home directory is not an absolute path");
        return Err(match std::path::absolute(&named) {
            Ok(meant) => failure
                .cause(format!(
                    "HOME is {}, which is another directory in each working directory",
                    ui::quote_path(&named)
                ))
                .help(format!("export HOME={}", ui::quote_path(&meant))),
            Err(_) => failure.cause("HOME is empty").help("unset HOME  # to use the home directory of your account"),
        });
    }
    let Some(home) = env::home_dir().filter(|home| home.is_absolute()) else {
        return Err(Failure::new(Code::Config, "your home directory is unknown")
            .cause("HOME is not set, and the system has no home directory for this user")
            .help("export HOME=/path/to/your/home"));
    };
    let found = fs::metadata(&home);
    if found.as_ref().is_ok_and(|found| !found.is_dir()) {
        return Err(Failure::new(Code::Config, format!("your home directory {} is not a directory", home.display()))
            .cause("lclaude and Claude Code keep their configuration there")
            .help("export HOME=/path/to/your/home"));
    }
    if found.is_err() {
        return Err(Failure::new(Code::Config, format!("your home directory {} does not exist", home.display()))
            .cause("lclaude and Claude Code keep their configuration there")
            .help(format!("mkdir -p {}", ui::quote_path(&home)))
            .help("export HOME=/path/to/your/home"));
    }
    Ok(home)
}

/// Returns the places of the runtime directory, the preferred first. All but the first are the same in every shell of
/// this user, so never in `$TMPDIR`. The last one is used even if it isn't usable, and then is an error.
fn runtime_candidates(variables: &Variables) -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let parents = [xdg(variables, "XDG_RUNTIME_DIR"), process::user_runtime_dir(uid)];
    let mut candidates: Vec<PathBuf> = parents.into_iter().flatten().map(|parent| parent.join("lclaude")).collect();
    candidates.push(PathBuf::from(format!("/tmp/lclaude-{uid}")));
    candidates
}

/// Checks whether a place can be the runtime directory, except for the last one. `su` and `sudo` may keep the variable
/// of another user, and root may have made a directory in ours.
fn check_candidate(place: &Path) -> Result<()> {
    check_length(place)?;
    check_parent(place)?;
    check_if_there(place)?;
    check_can_be_made(place)
}

/// Returns whether only this user can have put files into an existing place.
fn is_private(place: &Path) -> bool {
    // Everybody has `/tmp`, whose sticky bit keeps others from replacing a directory in it.
    let is_parent_ours = place.parent() == Some(Path::new("/tmp")) || check_parent(place).is_ok();
    is_parent_ours && check_if_there(place).is_ok()
}

/// Checks that nobody else can replace a directory in the parent of `place`, and that only this system uses it.
fn check_parent(place: &Path) -> Result<()> {
    let parent = place.parent().unwrap_or(Path::new("/"));
    if wsl::is_shared(parent) {
        let why = "their processes have PIDs of their own".into();
        return Err(not_private(place, "is shared by all distributions of WSL", why));
    }
    let meta = fs::metadata(parent).map_err(|error| not_private(place, "cannot be created", error.to_string()))?;
    check_owner_and_mode(parent, &meta)
}

fn is_missing(place: &Path) -> bool {
    fs::symlink_metadata(place).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Checks a runtime directory, which may be missing.
fn check_if_there(place: &Path) -> Result<()> {
    match fs::symlink_metadata(place) {
        Ok(meta) => check_owner_and_mode(place, &meta),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(not_private(place, "cannot be read", error.to_string())),
    }
}

fn check_can_be_made(place: &Path) -> Result<()> {
    if !is_missing(place) {
        return Ok(());
    }
    rustix::fs::access(place.parent().unwrap_or(Path::new("/")), Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| not_private(place, "cannot be created", error.to_string()))
}

fn check_length(place: &Path) -> Result<()> {
    if place.as_os_str().len() <= MAX_RUNTIME_PATH {
        return Ok(());
    }
    Err(Failure::new(Code::Config, format!("the runtime directory's path is too long: {}", place.display()))
        .cause("the path of a unix socket must be shorter than 104 bytes"))
}

fn check_owner_and_mode(dir: &Path, meta: &fs::Metadata) -> Result<()> {
    if !meta.is_dir() {
        let failure = not_private(dir, "is not a directory", "it is a file or a symlink".into());
        return Err(failure.help(format!("rm {}", ui::quote_path(dir))));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(not_private(
            dir,
            "belongs to another user",
            format!("its owner (uid {}) could read the backend's key", meta.uid()),
        ));
    }
    if meta.mode() & 0o022 != 0 && wsl::is_on_drive(dir) {
        return Err(not_private(dir, "is on a Windows drive", "its files can't be made private there".into()));
    }
    if meta.mode() & 0o022 != 0 {
        let failure = not_private(dir, "is writable by others", "other users could have changed its files".into());
        return Err(failure.help(format!("rm -r {}  # contains only temporary files", ui::quote_path(dir))));
    }
    Ok(())
}

fn not_private(dir: &Path, what: &str, why: String) -> Failure {
    Failure::new(Code::Config, format!("the runtime directory {} {what}", dir.display()))
        .cause(why)
        .help("mkdir -m 700 ~/.lclaude-run; export XDG_RUNTIME_DIR=~/.lclaude-run")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn usual_runtime_directories_are_short_enough() {
        let of_system = process::user_runtime_dir(u32::MAX).expect("each system has one").join("lclaude");
        // `_CS_DARWIN_USER_CACHE_DIR` of a user on macOS.
        let on_macos = "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/C/lclaude";
        let usual = [of_system.to_str().expect("text"), "/tmp/lclaude-4294967294", on_macos];
        for place in usual {
            check_length(Path::new(place)).expect(place);
        }
        // The same with the name of a socket, and the zero byte at the end.
        assert!(usual.iter().all(|place| place.len() + "/0123456789abcdef.sock".len() < 104));
        assert!(check_length(&Path::new("/tmp").join("x".repeat(MAX_RUNTIME_PATH))).is_err());
    }

    #[test]
    fn absolute_path_keeps_links_and_resolves_dots() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("a path");
        fs::create_dir_all(root.join("v1/bin")).expect("a directory");
        symlink("v1/bin", root.join("current")).expect("a link");
        for (named, expected) in [
            ("current/server", "current/server"),
            ("./current//server", "current/server"),
            ("v1/../current/server", "current/server"),
            // The parent of the link's target.
            ("current/../bin/server", "v1/bin/server"),
            ("missing/../server", "missing/../server"),
        ] {
            assert_eq!(absolute(&root.join(named)), root.join(expected), "{named}");
        }
        assert_eq!(absolute(Path::new("x")), env::current_dir().expect("a directory").join("x"));
    }
}
