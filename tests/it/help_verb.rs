//! `lclaude local` alone and `lclaude local help` print help.

use support::{Stage, messages};

#[test]
fn help_is_printed_with_exit_code_0() {
    messages!();
    let stage = Stage::bare();
    let expected = stage.output(&["local", "--help"]).expect(0).stdout;
    for arguments in [&["local"][..], &["local", "help"], &["--yes", "local"]] {
        assert_eq!(stage.output(arguments).expect(0).expect_stdout(&expected).stderr, "", "{arguments:?}");
    }
    for verb in ["setup", "config", "use", "profiles", "help"] {
        let expected = stage.output(&["local", verb, "--help"]).expect(0).stdout;
        stage.output(&["local", "help", verb]).expect(0).expect_stdout(&expected);
    }
    stage.output(&["local", "help", "stup"]).expect_failure(64);
    stage.output(&["local", "help", "nosuch"]).expect_failure(64);
    stage.output(&["local", "nosuch"]).expect_failure(64);
    stage.output(&["local", "help", "setup", "x"]).expect_failure(64);
}
