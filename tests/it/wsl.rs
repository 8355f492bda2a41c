//! lclaude in a simulated Windows Subsystem for Linux: Windows' programs are told from Linux's, and doctor says how to
//! use an Ollama that runs on Windows.

use std::{fs, path::Path};

use support::{
    Ended, Stage, Value,
    doctor::{check_text, configured},
    lclaude,
    machine::needs_no_ollama,
    messages,
    messages::record,
    models::Head,
    write_program,
    wsl::{LINUX, WSL_1, with_windows},
};

const WINDOWS: &[u8] = b"MZ\x90\0";
/// A directory of Windows on PATH, and where Ollama's installer puts its program.
const PATH: &str = "/mnt/c/npm";
const OLLAMA: &str = "mnt/c/Users/me/AppData/Local/Programs/Ollama";

/// Installs a program on the stage's Windows drive.
fn install(stage: &Stage, directory: &str, name: &str, content: &[u8]) {
    let place = stage.root().join(directory);
    fs::create_dir_all(&place).expect("a directory");
    write_program(&place.join(name), content);
}

/// Runs lclaude in WSL 2.
fn run(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.ended(&mut stage.lclaude_in_wsl(PATH, arguments))
}

/// Runs doctor in WSL 2 and returns the text of the named checks.
fn doctor(stage: &Stage, names: &[&str]) -> String {
    checks(&run(stage, &["local", "doctor", "--json"]), names)
}

fn checks(doctor: &Ended, names: &[&str]) -> String {
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap_or_else(|error| panic!("{error}: {doctor:#?}"));
    let checks = report["checks"].as_array().expect("checks").iter();
    checks.filter(|check| names.iter().any(|name| check["name"] == *name)).map(check_text).collect()
}

#[test]
fn windows_programs_are_no_backends() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    if !stage.needs_wsl() {
        return;
    }
    for name in ["llama-server.exe", "ollama.exe", "lms.exe", "server.exe"] {
        install(&stage, "mnt/c/npm", name, WINDOWS);
    }
    for kind in ["llamacpp", "ollama", "lmstudio"] {
        run(&stage, &["--backend", kind, "--model", "tiny.gguf", "--dry-run"]).expect_failure(69).expect_stdout("");
    }
    let _ = with_windows(false, || {
        for named in [
            "[llamacpp]\npath = \"/mnt/c/npm/llama-server.exe\"",
            "[command]\nrun = [\"server.exe\", \"{port}\"]",
            "[command]\nrun = [\"/mnt/c/npm/server.exe\", \"{port}\"]",
        ] {
            let kind = if named.starts_with("[command]") { "command" } else { "llamacpp" };
            stage.config(&format!("backend = \"{kind}\"\nmodel = \"m.gguf\"\n{named}\n"));
            messages::note(named);
            run(&stage, &["--model", "tiny.gguf", "--dry-run"]).expect_failure(69).expect_stdout("");
        }
    });
    stage.assert_nothing_started();
}

#[test]
fn linux_programs_are_backends_wherever_they_are() {
    let stage = Stage::new();
    if !stage.needs_wsl() {
        return;
    }
    let plan = |config: &str| {
        stage.config(config);
        let ended = run(&stage, &["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run"]).expect(0);
        let line = ended.stdout.lines().find(|line| line.contains("--model /")).unwrap_or_default();
        line.split_whitespace().find(|word| word.starts_with('/')).unwrap_or_else(|| panic!("{ended:#?}")).to_owned()
    };
    // By its name, the one that isn't a script of Windows; by its path, a script too.
    install(&stage, "mnt/c/npm", "llama-server", b"#!/bin/sh\nexec llama-server.exe \"$@\"\n");
    assert_eq!(plan(""), stage.bin().join("llama-server").display().to_string());
    assert_eq!(plan("[llamacpp]\npath = \"/mnt/c/npm/llama-server\"\n"), "/mnt/c/npm/llama-server");
    install(&stage, "mnt/c/npm", "llama-server", b"\x7fELF, built in WSL");
    assert_eq!(plan(""), "/mnt/c/npm/llama-server");
    stage.assert_nothing_started();
}

#[test]
fn programs_for_all_systems_are_backends() {
    let stage = Stage::with(&["fake-claude"]);
    if !stage.needs_wsl() {
        return;
    }
    // A llamafile begins like this. On Linux, the second one can't run, but isn't for WSL to refuse.
    for content in [b"MZqFpD='\n\0" as &[u8], WINDOWS] {
        install(&stage, "mnt/c/npm", "llama-server", content);
        for path in ["[llamacpp]\npath = \"/mnt/c/npm/llama-server\"\n", ""] {
            stage.config(path);
            let mut command = stage.in_wsl(LINUX, &stage.project(), lclaude());
            command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run"]);
            let ended =
                stage.ended(command.env("PATH", format!("{PATH}:{}:/usr/bin:/bin", stage.bin().display()))).expect(0);
            assert!(ended.stdout.contains("/mnt/c/npm/llama-server --"), "{ended:#?}");
        }
    }
    stage.assert_nothing_started();
}

#[test]
fn gateway_is_windows_only_on_its_own_interface_of_wsl() {
    let stage = Stage::with(&["fake-claude"]);
    if !stage.needs_wsl() {
        return;
    }
    let found = |prepare: &str| {
        let script = format!("{prepare}; exec \"$0\" local doctor --json");
        let mut command = stage.in_wsl(support::wsl::WSL_2, &stage.project(), Path::new("sh"));
        checks(&stage.ended(command.args(["-c", &script]).arg(lclaude())), &["wsl"])
    };
    let _ = with_windows(false, || {
        for (prepare, expected) in [
            ("true", "Windows has the address 172.30.96.1"),
            // A container.
            ("rmdir /run/WSL", "the address of Windows is unknown"),
            // A VPN.
            (
                "ip link set eth0 down && ip link set eth0 name tun0 && ip link set tun0 up && ip route add default via 172.30.96.1 dev tun0",
                "the address of Windows is unknown",
            ),
        ] {
            let text = found(prepare);
            assert!(text.contains(expected), "{prepare}: {text}");
        }
    });
}

#[test]
fn runtime_directory_is_not_shared_with_other_distributions() {
    let mut stage = configured(support::doctor::HEALTHY);
    if !stage.needs_wsl() {
        return;
    }
    let shared = stage.root().join("mnt/wslg/runtime-dir");
    fs::create_dir_all(&shared).expect("a directory");
    fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
    stage.set("XDG_RUNTIME_DIR", "/mnt/wslg/runtime-dir");
    let text = doctor(&stage, &["runtime directory"]);
    assert!(text.contains("XDG_RUNTIME_DIR is not used") && text.contains("all distributions"), "{text}");
}

#[test]
fn doctor_says_how_to_use_ollama_on_windows() {
    if !needs_no_ollama() {
        return;
    }
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    if !stage.needs_wsl() {
        return;
    }
    let names = ["ollama on windows", "claude on windows", "wsl", "choice"];
    let shown = |title: &str, has_ollama: bool| {
        let Some(checks) = with_windows(has_ollama, || doctor(&stage, &names)) else { return String::new() };
        record(title, &checks);
        checks
    };
    stage.config("backend = \"ollama\"\n");
    let absent = shown("nothing of Ollama is on Windows", false);
    if absent.is_empty() {
        return;
    }
    assert!(!absent.contains("ollama on windows"), "{absent}");
    install(&stage, "mnt/c/npm", "claude.exe", WINDOWS);
    install(&stage, OLLAMA, "ollama.exe", WINDOWS);
    shown("it is installed", false);
    stage.config("");
    shown("it is installed, and no backend is chosen", false);
    let running = shown("its server answers", true);
    let commands: Vec<&str> = running.lines().filter_map(|line| line.trim().strip_prefix("help: lclaude ")).collect();
    assert!(commands.len() >= 2, "{running}");
    // The commands do what they promise.
    for command in commands.iter().take(2) {
        let words: Vec<&str> = command.split(" #").next().unwrap_or_default().split_whitespace().collect();
        run(&stage, &words).expect(0);
    }
    let names = ["ollama server", "ollama on windows", "choice"];
    let used = with_windows(true, || doctor(&stage, &names)).expect("as before");
    assert!(used.contains("running at http://172.30.96.1:11434") && !used.contains("help:"), "{used}");
}

#[test]
fn server_that_does_not_answer_may_be_on_windows() {
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    if !stage.needs_wsl() {
        return;
    }
    let _ = with_windows(false, || {
        stage.config("[ollama]\ninstance = \"shared\"\n");
        run(&stage, &["--backend", "ollama", "--model", "m", "-p", "x"]).expect_failure(69);
        run(&stage, &["--url", "http://localhost:1234", "-p", "x"]).expect_failure(69);
        run(&stage, &["--url", "http://localhost:1234", "--model", "m", "--context", "40000", "-p", "x"])
            .expect_failure(69);
        // Its own address has no twin on Windows.
        let other = run(&stage, &["--url", "http://172.30.96.2:1234", "--model", "m", "-p", "x"]).expect(69);
        assert!(!other.stderr.contains("Windows"), "{other:#?}");
    });
}

#[test]
fn wsl_1_starts_no_backend() {
    messages!();
    let stage = Stage::healthy();
    if !stage.needs_wsl() {
        return;
    }
    let run = |arguments: &[&str]| stage.ended(stage.in_wsl(WSL_1, &stage.project(), lclaude()).args(arguments));
    run(&["--dry-run"]).expect_failure(69).expect_stdout("");
    let ended = run(&["--url", "http://127.0.0.1:1234", "--model", "m", "--dry-run"]).expect(0);
    assert!(ended.stderr.is_empty(), "{ended:#?}");
    record("doctor", checks(&run(&["local", "doctor", "--json"]), &["wsl", "choice"]));
    stage.assert_nothing_started();
}

#[test]
fn doctor_warns_of_directories_on_a_windows_drive() {
    messages!();
    let mut stage = configured(support::doctor::HEALTHY);
    if !stage.needs_wsl() {
        return;
    }
    let project = stage.root().join("mnt/c/my project");
    fs::create_dir_all(&project).expect("a directory");
    let names = ["project directory", "runtime directory"];
    assert!(!doctor(&stage, &names).contains("project directory"));
    // WSL shows all files of a drive as writable by everybody.
    let runtime = stage.root().join("mnt/c/run");
    fs::create_dir_all(&runtime).expect("a directory");
    fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("a mode");
    stage.set("XDG_RUNTIME_DIR", "/mnt/c/run");
    let mut command = stage.in_wsl(support::wsl::WSL_2, Path::new("/mnt/c/my project"), lclaude());
    record("on drive C", checks(&stage.ended(command.args(["local", "doctor", "--json"])), &names));
}

#[test]
fn wsl_may_get_more_memory() {
    let stage = Stage::new();
    if !stage.needs_wsl() {
        return;
    }
    Head::huge().write(&stage.model());
    let arguments = ["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"];
    let help = "set memory=…GB under [wsl2]";
    let ended = run(&stage, &arguments).expect(69);
    assert!(ended.stderr.contains(help), "{ended:#?}");
    let ended = stage.ended(stage.in_wsl(LINUX, &stage.project(), lclaude()).args(arguments)).expect(69);
    assert!(ended.stderr.contains("not fit in memory") && !ended.stderr.contains("wsl"), "{ended:#?}");
    stage.assert_nothing_started();
}

#[test]
fn npm_of_windows_installs_nothing() {
    messages!();
    let stage = Stage::with(&["fake-llama-server"]);
    if !stage.needs_wsl() {
        return;
    }
    install(&stage, "mnt/c/npm", "npm", b"#!/bin/sh\nexec node.exe npm-cli.js \"$@\"\n");
    run(&stage, &["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run"]).expect_failure(127).expect_stdout("");
    stage.assert_nothing_started();
}
