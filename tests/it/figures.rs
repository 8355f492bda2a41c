//! The live figures of servers of any make, as `lclaude local status` shows them.

use support::{Ended, Fake, Session, Stage, Value, doctor::server, finish, json, turn};

/// The metrics of vLLM 0.32 in the middle of a request, shortened.
const VLLM: &str = r#"# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 3000.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 1000.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="m"} 4.0
vllm:generation_tokens_total{engine="0",model_name="m"} 100.0
vllm:request_decode_time_seconds_sum{engine="0",model_name="m"} 5.0
"#;

/// Returns an endpoint stage whose server answers `/metrics` with this text.
fn endpoint(metrics: &'static str) -> Stage {
    let url = server(move |route, body| match route {
        "GET /v1/models" => ("200 OK", json!({"data": [{"id": "m", "max_model_len": 65_536}]})),
        "GET /metrics" => ("200 OK", metrics.into()),
        "POST /v1/messages" if body == "{}" => ("400 Bad Request", json!({})),
        _ => ("404 Not Found", json!({})),
    });
    let stage = Stage::new();
    stage.config(&format!("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"{url}\"\n"));
    stage
}

/// Starts a session on an endpoint.
fn session(stage: &Stage) -> (Session, Fake) {
    let session = Session::start(&mut stage.lclaude(&["-p", "hello"]));
    (session, stage.events.next("claude"))
}

fn status(stage: &Stage, arguments: &[&str]) -> Ended {
    stage.ended(stage.lclaude(&["local", "status"]).args(arguments)).expect(0)
}

fn backend(stage: &Stage) -> Value {
    let report: Value = serde_json::from_str(&status(stage, &["--json"]).stdout).expect("JSON");
    assert_eq!(report["backends"].as_array().map(Vec::len), Some(1), "{report:#}");
    report["backends"][0].clone()
}

#[test]
fn endpoint_of_a_session_is_shown_with_its_figures() {
    let stage = endpoint(VLLM);
    let (session, claude) = session(&stage);
    let shown = status(&stage, &[]).stdout;
    for part in ["endpoint  m: busy", "65536 tokens, 4000 in use", "prefill 500 tokens/s, generation 20 tokens/s"] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let told = backend(&stage);
    assert_eq!((&told["busy"], &told["context"]["used"]), (&json!(true), &json!(4000)));
    assert_eq!(told["tokens_per_second"], json!({"read": 500.0, "written": 20.0}));
    finish(session, &claude);
}

#[test]
fn unusable_metrics_are_left_out() {
    let endless = Box::leak(format!("{VLLM}{}", "# x\n".repeat(300_000)).into_boxed_str());
    for metrics in ["<html>", endless] {
        let stage = endpoint(metrics);
        let (session, claude) = session(&stage);
        let told = backend(&stage);
        assert_eq!((&told["state"], &told["busy"]), (&json!("ready"), &Value::Null), "{told:#}");
        finish(session, &claude);
    }
}

#[test]
fn command_is_shown_with_its_figures() {
    let stage = Stage::new();
    let model = stage.model().display().to_string();
    stage.config(&format!(
        "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = ['llama-server', '--model', '{model}', '--alias', 'tiny', \
         '--host', '{{host}}', '--port', '{{port}}', '-c', '{{context}}', '--metrics']\nenv = {{ LLAMA_API_KEY = '{{token}}' }}\n"
    ));
    let (session, claude, _) = stage.started(&mut stage.lclaude(&["-p", "hello"]));
    turn(&claude);
    let told = backend(&stage);
    assert_eq!(told["tokens_per_second"], json!({"read": 100.0, "written": 20.0}));
    assert_eq!((&told["busy"], &told["context"]["used"]), (&json!(false), &json!(15)));
    finish(session, &claude);
}
