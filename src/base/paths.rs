//! The places lclaude uses, found once from the environment it was given and passed on from there.
//!
//! Only `runtime` is created here, because it must be private before anything is put into it. Nothing of Claude Code's
//! is named here: see `claude`.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{
    error::{Code, Failure, Result},
    variables::Variables,
};

/// Room for the longest file name put into the runtime directory (`<16 hex digits>.preset`, with its slash), under the
/// 104 bytes that macOS allows a socket's whole path.
const LONGEST_RUNTIME_DIR: usize = 104 - 24;

#[derive(Debug, Clone)]
pub struct Places {
    pub home: PathBuf,
    pub config_file: PathBuf,
    /// Logs, and facts remembered from run to run.
    pub state: PathBuf,
    /// Sockets, locks and a session's private files.
    runtime: PathBuf,
}

impl Places {
    /// # Errors
    /// `Config` when the home directory is unknown or missing.
    pub fn find(variables: &Variables) -> Result<Self> {
        let home = home()?;
        let config = xdg(variables, "XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let state = xdg(variables, "XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        let runtime = runtime_dir(variables);
        // Keepers, and files that are read again, are told places as text.
        let places =
            [("HOME", &home), ("XDG_CONFIG_HOME", &config), ("XDG_STATE_HOME", &state), ("XDG_RUNTIME_DIR", &runtime)];
        if let Some((name, place)) = places.into_iter().find(|(_, place)| place.to_str().is_none()) {
            return Err(Failure::new(Code::Config, format!("{} cannot be used", place.display()))
                .why("its name is not UTF-8")
                .help(format!("export {name}=/path/in/utf-8")));
        }
        Ok(Places { config_file: config.join("lclaude/config.toml"), state: state.join("lclaude"), runtime, home })
    }

    /// The runtime directory, which may be missing. What is in one that is there is ours: programs that its files name
    /// are run, processes that they name are ended, and an address that they name is sent prompts.
    ///
    /// # Errors
    /// `Config` when it is a symlink, or someone else could have put something into it.
    pub fn runtime(&self) -> Result<&Path> {
        match fs::symlink_metadata(&self.runtime) {
            Ok(meta) => belongs_to_us(&self.runtime, &meta)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(not_private(&self.runtime, "cannot be read", error.to_string())),
        }
        Ok(&self.runtime)
    }

    /// Its name, for people.
    pub fn runtime_name(&self) -> &Path {
        &self.runtime
    }

    /// Makes the runtime directory if it is missing, and proves that it is ours alone.
    ///
    /// # Errors
    /// `Config` when it is a symlink, belongs to someone else, cannot be made private, or its path is too long.
    pub fn ready_runtime(&self) -> Result<()> {
        self.is_short_enough()?;
        private_dir(&self.runtime)
    }

    /// Whether [`Places::ready_runtime`] would find nothing wrong, without making anything.
    ///
    /// # Errors
    /// As there.
    pub fn check_runtime(&self) -> Result<()> {
        self.is_short_enough()?;
        let runtime = self.runtime()?;
        if runtime.exists() {
            return Ok(());
        }
        rustix::fs::access(runtime.parent().unwrap_or(Path::new("/")), rustix::fs::Access::WRITE_OK)
            .map_err(|error| not_private(runtime, "cannot be made", error.to_string()))
    }

    fn is_short_enough(&self) -> Result<()> {
        if self.runtime.as_os_str().len() <= LONGEST_RUNTIME_DIR {
            return Ok(());
        }
        Err(Failure::new(Code::Config, format!("the runtime directory's path is too long: {}", self.runtime.display()))
            .why("a unix socket's path must stay under 104 bytes")
            .help("point XDG_RUNTIME_DIR at a shorter private directory, such as /run/user/$UID")
            .help("unset XDG_RUNTIME_DIR"))
    }
}

/// The failure for a runtime directory in which nothing can be made.
pub fn unusable(runtime: &Path, error: io::Error) -> Failure {
    Failure::new(Code::Config, format!("the runtime directory {} cannot be used", runtime.display()))
        .why(error)
        .help(format!("df -h {}, and ls -ld {0}", runtime.display()))
}

/// Relative values are ignored, as the XDG specification says.
fn xdg(variables: &Variables, name: &str) -> Option<PathBuf> {
    variables.path(name).filter(|path| path.is_absolute())
}

fn home() -> Result<PathBuf> {
    let Some(home) = env::home_dir().filter(|home| home.is_absolute()) else {
        return Err(Failure::new(Code::Config, "your home directory is unknown")
            .why("HOME is not set, and the system has no entry for this user")
            .help("export HOME=/path/to/your/home"));
    };
    if home.exists() && !home.is_dir() {
        return Err(Failure::new(Code::Config, format!("your home directory {} is not a directory", home.display()))
            .why("lclaude and Claude Code keep their configuration there")
            .help("export HOME=/path/to/your/home"));
    }
    if !home.is_dir() {
        return Err(Failure::new(Code::Config, format!("your home directory {} does not exist", home.display()))
            .why("lclaude and Claude Code keep their configuration there")
            .help(format!("mkdir -p {}", home.display()))
            .help("or export HOME to the right place"));
    }
    Ok(home)
}

/// `$XDG_RUNTIME_DIR`, else a place that is the same in every shell of this user: never `$TMPDIR`.
fn runtime_dir(variables: &Variables) -> PathBuf {
    if let Some(dir) = xdg(variables, "XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()) {
        return dir.join("lclaude");
    }
    if let Some(dir) = crate::base::process::user_temp_dir() {
        return dir.join("lclaude");
    }
    let uid = rustix::process::getuid().as_raw();
    PathBuf::from(format!("/tmp/lclaude-{uid}"))
}

/// Makes `dir` with mode 0700, or checks that an existing one is a directory of ours (never a symlink to one) and
/// closes it to others.
fn private_dir(dir: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(not_private(dir, "cannot be made", error.to_string()));
        }
        _ => {}
    }
    let meta = fs::symlink_metadata(dir).map_err(|error| not_private(dir, "cannot be read", error.to_string()))?;
    belongs_to_us(dir, &meta)?;
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(|error| not_private(dir, "cannot be made private", error.to_string()))?;
    }
    Ok(())
}

fn belongs_to_us(dir: &Path, meta: &fs::Metadata) -> Result<()> {
    if !meta.is_dir() {
        let failure = not_private(dir, "is not a directory", "a link or file in its place could lead anywhere".into());
        return Err(failure.help(format!("rm {}", dir.display())));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(not_private(
            dir,
            "belongs to someone else",
            format!("its owner is uid {}, who could read your prompts' token", meta.uid()),
        ));
    }
    if meta.mode() & 0o022 != 0 {
        let failure = not_private(dir, "is open to others", "what is in it could be somebody else's".into());
        return Err(failure.help(format!("rm -r {}, which holds nothing that has to be kept", dir.display())));
    }
    Ok(())
}

fn not_private(dir: &Path, what: &str, why: String) -> Failure {
    let failure = Failure::new(Code::Config, format!("the runtime directory {} {what}", dir.display()))
        .why(why)
        .help("set XDG_RUNTIME_DIR to a private directory of your own, such as /run/user/$UID");
    if env::var_os("XDG_RUNTIME_DIR").is_some() { failure.help("unset XDG_RUNTIME_DIR") } else { failure }
}
