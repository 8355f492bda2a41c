//! Files in the runtime directory name programs to run, processes to kill and an address for prompts, so lclaude trusts
//! them only if no other user could have written them. Whatever the environment says, one user's sessions find each
//! other.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use support::{
    Fake, Session, Stage,
    doctor::{check_text, find_check},
    finish, json,
    machine::{NOBODY, OwnPlaces, needs_root},
    messages, turn,
};

const MODEL: [&str; 4] = ["--backend", "llamacpp", "--model", "tiny.gguf"];

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Plants a record that names a program to run, as if a keeper had left it. Returns the file that the program creates.
fn plant(stage: &Stage, directory: &Path) -> PathBuf {
    let ran = stage.root().join("ran");
    let command = format!("touch {}", ran.display());
    let undo = json!({"tell": {"lms": "/bin/sh", "arguments": ["-c", command], "of": null}});
    let record = json!({"keeper": {"pid": 999_999, "start": 1}, "backend": null, "undo": [undo]});
    fs::create_dir_all(directory).expect("a directory");
    fs::write(directory.join("0123456789abcdef.json"), record.to_string()).expect("a file");
    ran
}

/// A user whose `/tmp` and `/run/user` are directories of the test. It is root, whom other users can't become.
struct User {
    stage: Stage,
    own: OwnPlaces,
}

impl User {
    fn new() -> Self {
        let stage = Stage::new();
        let own = OwnPlaces::new(&stage);
        User { stage, own }
    }

    /// Returns a command with this `XDG_RUNTIME_DIR`, or without one.
    fn command(&self, runtime: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = self.own.with(&self.stage, &self.stage.lclaude(arguments));
        match runtime {
            Some(runtime) => command.env("XDG_RUNTIME_DIR", runtime),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        command
    }

    fn start(&self, runtime: Option<&Path>) -> (Session, Fake) {
        let session = Session::start(&mut self.command(runtime, &[&MODEL[..], &["-p", "x"]].concat()));
        (session, self.stage.events.next("claude"))
    }

    /// Returns the directory that the user has without `XDG_RUNTIME_DIR` and without a login by systemd.
    fn in_tmp(&self) -> PathBuf {
        self.own.tmp.join("lclaude-0")
    }

    /// Creates the directory that systemd creates at a login.
    fn log_in(&self) -> PathBuf {
        let directory = self.own.users.join("0");
        fs::create_dir(&directory).expect("a directory");
        set_mode(&directory, 0o700);
        directory.join("lclaude")
    }

    /// Checks that every command rejects the only place that is left.
    #[track_caller]
    fn assert_rejected(&self, ran: &Path) {
        let commands: [Vec<&str>; 6] = [
            [&MODEL[..], &["-p", "x"]].concat(),
            ["local", "stop"].into(),
            ["local", "stop", "--all"].into(),
            ["local", "status"].into(),
            [&["local", "env"], &MODEL[..]].concat(),
            [&["local", "serve"], &MODEL[..]].concat(),
        ];
        for arguments in commands {
            self.stage.ended(&mut self.command(None, &arguments)).expect_failure(65);
        }
        let doctor = self.stage.ended(&mut self.command(None, &["local", "doctor", "--json"]));
        let report = serde_json::from_str(&doctor.stdout).expect("JSON");
        let found = find_check(&report, "machine", "runtime directory");
        assert_eq!((doctor.code, &found["state"]), (Some(1), &json!("failure")), "{found:#}");
        messages::record("local doctor", check_text(found));
        assert!(self.stage.events.rest().is_empty() && !ran.exists(), "the planted program was run");
    }
}

/// Returns where the session of this Claude Code has its private directory.
fn private_directory(claude: &Fake) -> &Path {
    Path::new(claude.settings_path.as_ref().expect("a file")).parent().expect("a directory")
}

/// Returns the names of the files in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn directory_writable_by_others_is_rejected() {
    if !needs_root() {
        return;
    }
    messages!();
    let user = User::new();
    let ran = plant(&user.stage, &user.in_tmp());
    for mode in [0o777, 0o730] {
        set_mode(&user.in_tmp(), mode);
        user.assert_rejected(&ran);
    }
    // In a private directory the planted program does run, so the checks above prove something.
    set_mode(&user.in_tmp(), 0o700);
    user.stage.ended(&mut user.command(None, &["local", "stop"])).expect(0);
    assert!(ran.exists());
}

#[test]
fn directory_of_another_user_is_rejected() {
    if !needs_root() {
        return;
    }
    messages!();
    let user = User::new();
    let ran = plant(&user.stage, &user.in_tmp());
    chown(user.in_tmp(), Some(NOBODY), None).expect("root can");
    user.assert_rejected(&ran);
    let mode = fs::metadata(user.in_tmp()).expect("it exists").mode();
    assert_eq!(mode & 0o777, 0o755, "lclaude changed the mode of another user's directory");
}

#[test]
fn symlink_is_rejected() {
    if !needs_root() {
        return;
    }
    messages!();
    let user = User::new();
    let ran = plant(&user.stage, &user.stage.root().join("elsewhere"));
    symlink(user.stage.root().join("elsewhere"), user.in_tmp()).expect("a link");
    user.assert_rejected(&ran);
}

/// Makes `XDG_RUNTIME_DIR` unusable. Gets the directory that it names, and lclaude's in it.
type Spoil = fn(&Path, &Path);

/// `su` and `sudo` may keep the variable of another user, or leave a directory of root's in the user's own.
#[test]
fn unusable_directory_is_passed_over() {
    if !needs_root() {
        return;
    }
    messages!();
    let cases: [(&str, Spoil); 8] = [
        ("belongs to another user", |run, _| chown(run, Some(NOBODY), None).expect("root can")),
        ("is writable by others", |run, _| set_mode(run, 0o777)),
        ("is /tmp", |run, _| set_mode(run, 0o1777)),
        ("is missing", |run, _| fs::remove_dir_all(run).expect("a directory")),
        ("has a directory of another user", |_, lclaude| chown(lclaude, Some(NOBODY), None).expect("root can")),
        ("has a directory that is writable by others", |_, lclaude| set_mode(lclaude, 0o770)),
        ("has a symlink", |run, lclaude| {
            fs::rename(lclaude, run.join("elsewhere")).expect("a directory");
            symlink("elsewhere", lclaude).expect("a link");
        }),
        ("has a file", |_, lclaude| {
            fs::remove_dir_all(lclaude).expect("a directory");
            fs::write(lclaude, "").expect("a file");
        }),
    ];
    for (name, spoil) in cases {
        let user = User::new();
        let run = user.stage.root().join("run");
        let ran = plant(&user.stage, &run.join("lclaude"));
        spoil(&run, &run.join("lclaude"));
        let before = names(&run);
        assert_used(&user, &run, &user.in_tmp(), Path::new("/tmp/lclaude-0"));
        record_doctor(name, &user, &run);
        assert_eq!((names(&run), ran.exists()), (before, false), "{name}");

        let directory = user.log_in();
        assert_used(&user, &run, &directory, Path::new("/run/user/0/lclaude"));
        // The directory in /tmp is looked at too.
        plant(&user.stage, &user.in_tmp());
        user.stage.ended(&mut user.command(Some(&run), &["local", "stop"])).expect(0);
        assert!(ran.exists(), "{name}");
    }
    let user = User::new();
    let long = user.stage.root().join("x".repeat(80));
    fs::create_dir(&long).expect("a directory");
    assert_used(&user, &long, &user.in_tmp(), Path::new("/tmp/lclaude-0"));
    record_doctor("is too long for a socket", &user, &long);
    assert_eq!(names(&long), Vec::<String>::new());
}

/// Checks that a session with this variable uses `directory`, which its user sees as `path`.
#[track_caller]
fn assert_used(user: &User, variable: &Path, directory: &Path, path: &Path) {
    let (session, claude) = user.start(Some(variable));
    assert_eq!(private_directory(&claude).parent(), Some(path));
    assert_eq!(fs::metadata(directory).expect("it was created").mode() & 0o777, 0o700);
    finish(session, &claude);
    user.stage.events.next("llama-server");
}

/// Records what doctor says about the runtime directory, which must be usable.
#[track_caller]
fn record_doctor(name: &str, user: &User, variable: &Path) {
    let doctor = user.stage.ended(&mut user.command(Some(variable), &["local", "doctor", "--json"]));
    let report = serde_json::from_str(&doctor.stdout).expect("JSON");
    let found = find_check(&report, "machine", "runtime directory");
    assert_eq!(found["state"], "ok", "{found:#}");
    messages::record(name, check_text(found));
}

/// The variable may be set in one shell and missing in another, such as one of cron, `docker exec` or ssh. The directory of
/// a login may appear while sessions run.
#[test]
fn sessions_with_and_without_the_variable_share_a_backend() {
    if !needs_root() {
        return;
    }
    let of_login = Path::new("/run/user/0");
    let run = |user: &User| user.stage.root().join("run");
    let before_login = User::new();
    share(&before_login, None, Some(&run(&before_login)));
    let logged_in = User::new();
    logged_in.log_in();
    share(&logged_in, Some(of_login), None);
    share(&logged_in, None, Some(of_login));
    share(&logged_in, None, Some(&run(&logged_in)));
    let user = User::new();
    let (session, claude) = user.start(None);
    user.log_in();
    share_with(&user, (session, claude), [None, Some(of_login)]);
}

#[track_caller]
fn share(user: &User, first: Option<&Path>, second: Option<&Path>) {
    let running = user.start(first);
    share_with(user, running, [first, second]);
}

/// Checks that sessions and verbs with each of the variables find the backend of a running session.
#[track_caller]
fn share_with(user: &User, (session, claude): (Session, Fake), variables: [Option<&Path>; 2]) {
    let key = &claude.env["ANTHROPIC_AUTH_TOKEN"];
    let (other, other_claude) = user.start(variables[1]);
    assert_eq!(&other_claude.env["ANTHROPIC_AUTH_TOKEN"], key);
    for variable in variables {
        let verb = |arguments: &[&str]| user.stage.ended(&mut user.command(variable, arguments)).expect(0).stdout;
        assert_eq!(sessions(&verb(&["local", "status", "--json"])), [2]);
        let env = verb(&[&["local", "env", "--format", "json"], &MODEL[..]].concat());
        assert!(env.contains(key), "{env}");
    }
    // The other one stays when the first one ends.
    finish(session, &claude);
    turn(&other_claude);
    user.stage.ended(&mut user.command(variables[1], &["local", "stop", "--yes"])).expect(0);
    other.wait().expect(69);
    let started: Vec<String> = user.stage.events.rest().iter().map(|fake| fake.who.clone()).collect();
    assert_eq!(started, ["llama-server"]);
}

/// Returns the number of sessions of each backend in a status report.
fn sessions(status: &str) -> Vec<usize> {
    let status: support::Value = serde_json::from_str(status).expect("JSON");
    let backends = status["backends"].as_array().expect("a list");
    backends.iter().map(|backend| backend["sessions"].as_array().expect("a list").len()).collect()
}

/// A link to a place, such as `/var/run/user/0`, isn't another place.
#[test]
fn place_with_two_names_is_one() {
    if !needs_root() {
        return;
    }
    let user = User::new();
    user.log_in();
    let link = user.stage.root().join("link");
    symlink("/run/user/0", &link).expect("a link");
    let (session, claude) = user.start(Some(&link));
    let status = user.stage.ended(&mut user.command(Some(&link), &["local", "status", "--json"])).expect(0);
    assert_eq!(sessions(&status.stdout), [1]);
    finish(session, &claude);
    user.stage.events.next("llama-server");
}
