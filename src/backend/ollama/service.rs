//! The stores of an Ollama that runs as a system service, and how a user gets to read them.
//!
//! A private server runs as the user, so it can use a store of the service only if the user may read it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::base::{disk, ui, variables::Variables};

/// Where services keep their models. A store in a container's volume isn't listed: no other user may look there.
const STORES: &[&str] = &[
    // Ollama's install.sh.
    "/usr/share/ollama/.ollama/models",
    // Fedora, Gentoo and others, with this home.
    "/var/lib/ollama/.ollama/models",
    // NixOS, where /var/lib/ollama may lead to /var/lib/private.
    "/var/lib/ollama/models",
    // Arch Linux.
    "/var/lib/ollama",
    "/var/snap/ollama/common/models",
];

/// Returns the places of the service's store. Most machines have at most one.
pub(crate) fn stores() -> impl Iterator<Item = &'static Path> {
    STORES.iter().map(Path::new)
}

/// Whether this user can use a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Absent,
    Readable,
    Unreadable(Barrier),
}

/// A directory that keeps the user from a store in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Barrier {
    pub path: PathBuf,
    /// Its mode and its group, or `None` if it only leads to such a directory.
    access: Option<(u32, u32)>,
}

/// Returns whether this user can use a store.
pub(crate) fn access(store: &Path) -> Access {
    for part in ["manifests", "blobs"] {
        match fs::read_dir(store.join(part)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Access::Unreadable(Barrier::before(&store.join(part)));
            }
            Err(_) => return Access::Absent,
        }
    }
    Access::Readable
}

/// Returns the directory of the service that this user can't read, if there is one. Whether it has a store can't be
/// seen from outside.
pub(crate) fn unreadable() -> Option<Barrier> {
    unreadable_of(stores())
}

fn unreadable_of<'a>(stores: impl Iterator<Item = &'a Path>) -> Option<Barrier> {
    stores.into_iter().find_map(|store| match access(store) {
        // A directory above Ollama's own is no sign of Ollama.
        Access::Unreadable(barrier) if barrier.path.iter().any(|part| part == "ollama") => Some(barrier),
        _ => None,
    })
}

impl Barrier {
    /// Returns the last directory on the way to `path` that this user can see.
    fn before(path: &Path) -> Self {
        let mut last = Barrier { path: PathBuf::from("/"), access: None };
        let mut steps: Vec<&Path> = path.ancestors().collect();
        steps.reverse();
        for step in steps {
            match fs::metadata(step) {
                Ok(meta) => last = Barrier { path: step.to_owned(), access: Some((meta.mode(), meta.gid())) },
                // A link that leads to where this user can't look.
                Err(_) if step.symlink_metadata().is_ok() => return Barrier { path: step.to_owned(), access: None },
                Err(_) => break,
            }
        }
        last
    }

    /// Returns the commands that let the user read what is behind it, as far as a group can do that.
    ///
    /// `again`: the command to run with the new group.
    pub(crate) fn helps(&self, again: &str, variables: &Variables) -> Vec<String> {
        let groups = disk::read_to_string(Path::new("/etc/group")).unwrap_or_default();
        self.helps_of(again, &groups, variables.text("USER"))
    }

    fn helps_of(&self, again: &str, groups: &str, user: Option<&str>) -> Vec<String> {
        // Nobody should join root's own group.
        let group =
            self.access.filter(|(_, gid)| *gid != 0).and_then(|(mode, gid)| Some((mode, find_group(groups, gid)?)));
        let Some((mode, (group, members))) = group else {
            return Vec::new();
        };
        let open = format!("sudo chmod g+rx {} && ", ui::quote_path(&self.path));
        let open = if mode & 0o050 == 0o050 { "" } else { &open };
        let join = format!("{open}sudo usermod -aG {group} $USER  # then log in again");
        // The installer adds the user to the group, which logins before that don't have yet.
        if open.is_empty() && user.is_some_and(|user| members.contains(&user)) {
            let run = ui::quote_command(["sg", group, "-c", again].map(str::to_owned).into_iter());
            return vec![format!("{run}  # or log in again: this login is older than your membership in the group")];
        }
        vec![join]
    }
}

/// Returns the name and the members of a group in the text of `/etc/group`.
fn find_group(groups: &str, gid: u32) -> Option<(&str, Vec<&str>)> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(gid)).then(|| (name, fields.next().unwrap_or_default().split(',').collect()))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const GROUPS: &str = "root:x:0:\nollama:x:998:me,you\n";

    fn helps(mode: u32, gid: u32, user: &str) -> Vec<String> {
        let barrier = Barrier { path: "/usr/share/ollama".into(), access: Some((mode, gid)) };
        barrier.helps_of("lclaude --model m", GROUPS, Some(user))
    }

    #[test]
    fn helps_follow_the_group_of_the_directory() {
        let join = "sudo usermod -aG ollama $USER  # then log in again";
        assert_eq!(helps(0o750, 998, "other"), [join]);
        assert_eq!(helps(0o700, 998, "me"), [format!("sudo chmod g+rx /usr/share/ollama && {join}")]);
        let run = "sg ollama -c 'lclaude --model m'  # or log in again: this login is older than your membership in the group";
        assert_eq!(helps(0o750, 998, "me"), [run]);
        // Nobody is told to join root's group, or one that has no name.
        assert_eq!(helps(0o710, 0, "me"), [""; 0]);
        assert_eq!(helps(0o750, 997, "me"), [""; 0]);
        let link = Barrier { path: "/var/lib/ollama".into(), access: None };
        assert_eq!(link.helps_of("lclaude", GROUPS, Some("me")), [""; 0]);
    }

    /// Runs `check` with file permissions enforced, on a thread of its own: on Linux root gives up its privileges
    /// there.
    fn without_privileges(check: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                #[cfg(target_os = "linux")]
                if rustix::process::geteuid().is_root() {
                    // SAFETY: only changes this thread's file system user, which also drops its file capabilities.
                    unsafe { libc::setfsuid(65_534) };
                }
                check();
            });
        });
    }

    #[test]
    fn unreadable_store_is_distinguished_from_a_missing_one() {
        let root = tempfile::tempdir().expect("a directory");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("open");
        let make = |name: &str, store: &str| {
            let store = root.path().join(name).join(store);
            for part in ["manifests", "blobs"] {
                fs::create_dir_all(store.join(part)).expect("a directory");
            }
            store
        };
        let close = |path: PathBuf| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).expect("closed");
        let open = |path: PathBuf| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("opened");
        // install.sh on Ubuntu, a service whose own directory is closed, and one whose blobs are.
        let places = ["ollama", "ollama/.ollama", "ollama/.ollama/models/blobs"];
        for (at, closed) in places.into_iter().enumerate() {
            let name = format!("case-{at}");
            let store = make(&name, "ollama/.ollama/models");
            let closed = root.path().join(&name).join(closed);
            close(closed.clone());
            without_privileges(|| {
                let found = unreadable_of([store.as_path()].into_iter()).expect("a barrier");
                assert_eq!(found.path, closed);
                assert!(matches!(access(&store), Access::Unreadable(_)));
            });
            open(closed);
            without_privileges(|| assert_eq!(access(&store), Access::Readable));
        }
        // NixOS: a link into a private directory.
        make("private", "ollama/models");
        symlink("private/ollama", root.path().join("ollama")).expect("a link");
        close(root.path().join("private"));
        let linked = root.path().join("ollama/models");
        without_privileges(|| {
            let found = unreadable_of([linked.as_path()].into_iter()).expect("a barrier");
            assert_eq!(found, Barrier { path: root.path().join("ollama"), access: None });
        });
        // Behind a directory of others nobody can tell whether there is an Ollama.
        let hidden = make("volumes", "x/ollama/models");
        close(root.path().join("volumes"));
        without_privileges(|| assert_eq!(unreadable_of([hidden.as_path()].into_iter()), None));
        open(root.path().join("volumes"));
        open(root.path().join("private"));
        let missing = root.path().join("none/ollama/models");
        without_privileges(|| {
            assert_eq!(access(&missing), Access::Absent);
            assert_eq!(unreadable_of([missing.as_path()].into_iter()), None);
        });
    }
}
