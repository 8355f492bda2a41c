//! Computes the memory a model needs from its metadata: the KV cache of each layer, recurrent states and llama.cpp's
//! compute buffers.
//!
//! It follows llama.cpp b11434 (`src/llama-kv-cache*.cpp`, `src/models/*.cpp`); the tests compare it with the log of
//! that version.

use super::gguf::Header;

/// llama.cpp rounds contexts and windows up to this many tokens.
const PADDING: u64 = 256;
/// llama.cpp's default physical batch size (`--ubatch-size`).
const UBATCH: u32 = 512;
/// No known model has as many layers.
const MAX_LAYERS: u64 = 4096;

/// The server settings that determine its use of memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub context: u32,
    /// Types of the KV cache, such as `q8_0`.
    pub cache_k: String,
    pub cache_v: String,
    pub ubatch: u32,
    /// Whether layers with a sliding window keep the whole context anyway.
    pub full_window: bool,
    pub flash_attention: bool,
}

impl Layout {
    /// Returns llama.cpp's defaults.
    pub(crate) fn new(context: u32) -> Self {
        let f16 = || "f16".to_owned();
        let (cache_k, cache_v) = (f16(), f16());
        Layout { context, cache_k, cache_v, ubatch: UBATCH, full_window: false, flash_attention: true }
    }

    /// Returns the number of tokens that a layer with this sliding window keeps.
    fn window(&self, window: u64) -> u64 {
        let context = u64::from(self.context).next_multiple_of(PADDING);
        let kept = if self.full_window { context } else { window.saturating_add(self.ubatch.into()).min(context) };
        kept.next_multiple_of(PADDING)
    }

    pub(crate) fn with_cache(&self, kind: &str) -> Self {
        Layout { cache_k: kind.to_owned(), cache_v: kind.to_owned(), ..self.clone() }
    }

    pub(crate) fn with_context(&self, context: u32) -> Self {
        Layout { context, ..self.clone() }
    }
}

/// The properties of a model that determine its use of memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    layers: Vec<ModelLayer>,
    heads: u64,
    /// Intermediate values per token that the compute buffer holds.
    working: u64,
    /// The context it was trained for, in tokens.
    pub trained: Option<u32>,
}

/// Which prompts can reuse the cache of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptReuse {
    /// All that start the same: both use the cache as far as they agree.
    AnyPrefix,
    /// Those that start with the whole other one, since a recurrent state can't be taken back.
    WholePrefix,
    /// None: a layer with a sliding window has forgotten the beginning.
    Nothing,
}

/// What one layer keeps in the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct ModelLayer {
    /// Cached values per token.
    k: u64,
    v: u64,
    /// Sliding window in tokens, if it has one.
    window: Option<u64>,
    /// Bytes of recurrent state, independent of the context.
    state: u64,
}

impl Shape {
    /// Returns the shape that the metadata describe, or `None` if this isn't a language model.
    pub(crate) fn of(header: &Header) -> Option<Self> {
        let metadata = Metadata { header, architecture: header.text("general.architecture")? };
        let count = metadata.number("block_count").filter(|count| (1..=MAX_LAYERS).contains(count))?;
        let embedding = metadata.number("embedding_length")?;
        let heads = (0..count).map(|layer| metadata.at("attention.head_count", layer).unwrap_or(0)).max()?;
        // Experts are narrower than a dense layer, but each token uses several.
        let dense = (0..count).filter_map(|layer| metadata.at("feed_forward_length", layer)).max();
        let dense = dense.map_or(0, |width| width.saturating_mul(3).saturating_add(embedding.saturating_mul(5)));
        let used = metadata.number("expert_used_count").unwrap_or(0);
        let width = metadata.number("expert_feed_forward_length").unwrap_or(0);
        let experts = used.saturating_mul(2).saturating_mul(embedding.saturating_add(width)).saturating_add(embedding);
        Some(Shape {
            layers: (0..count).map(|layer| metadata.layer(layer, count, embedding)).collect(),
            heads,
            working: dense.max(experts).max(embedding.saturating_mul(6)),
            trained: metadata.number("context_length").and_then(|length| u32::try_from(length).ok()),
        })
    }

    /// Returns the shape of GLM-4.7-Flash, built in for when its file is missing.
    pub(crate) fn glm_4_7_flash() -> Self {
        let layer = ModelLayer { k: 512 + 64, ..ModelLayer::default() };
        Shape { layers: vec![layer; 47], heads: 20, working: 3 * 10_240 + 5 * 2048, trained: Some(202_752) }
    }

    /// Returns which prompts can reuse its cache.
    pub(crate) fn reuse(&self) -> PromptReuse {
        if self.layers.iter().any(|layer| layer.window.is_some()) {
            PromptReuse::Nothing
        } else if self.layers.iter().any(|layer| layer.state > 0) {
            PromptReuse::WholePrefix
        } else {
            PromptReuse::AnyPrefix
        }
    }

    /// Returns the bytes of the KV cache, recurrent states included.
    pub(crate) fn cache(&self, layout: &Layout) -> u64 {
        let context = u64::from(layout.context).next_multiple_of(PADDING);
        let layer = |layer: &ModelLayer| {
            let kept = layer.window.map_or(context, |window| layout.window(window));
            let token = row_size(layer.k, &layout.cache_k).saturating_add(row_size(layer.v, &layout.cache_v));
            token.saturating_mul(kept).saturating_add(layer.state)
        };
        self.layers.iter().map(layer).fold(0, u64::saturating_add)
    }

    /// Returns the bytes of the compute buffers.
    pub(crate) fn buffers(&self, layout: &Layout) -> u64 {
        let context = u64::from(layout.context).next_multiple_of(PADDING);
        let ubatch = u64::from(layout.ubatch).min(context);
        // The attention masks: one for the whole context and one for the window.
        let window = self.layers.iter().filter_map(|layer| layer.window).max();
        let seen = context.saturating_add(window.map_or(0, |window| layout.window(window)));
        let attention = if layout.flash_attention {
            seen.saturating_mul(2)
        } else {
            // The mask is twice as wide, and each head stores the score of every pair of tokens.
            seen.saturating_mul(self.heads.saturating_add(1)).saturating_mul(4)
        };
        attention.saturating_add(self.working.saturating_mul(4)).saturating_mul(ubatch)
    }
}

/// Returns the bytes that `values` take in a cache of this type (llama.cpp's `ggml_row_size`).
fn row_size(values: u64, kind: &str) -> u64 {
    let (block, bytes) = match kind {
        "f32" => (1, 4),
        "q8_0" => (32, 34),
        "q5_1" => (32, 24),
        "q5_0" => (32, 22),
        "q4_1" => (32, 20),
        "q4_0" | "iq4_nl" => (32, 18),
        // f16 and bf16. Ollama and llama-server reject unknown types themselves.
        _ => (1, 2),
    };
    values.saturating_mul(bytes).div_ceil(block)
}

/// The metadata keys of the model's architecture.
struct Metadata<'a> {
    header: &'a Header,
    architecture: &'a str,
}

impl Metadata<'_> {
    fn number(&self, key: &str) -> Option<u64> {
        self.header.number(&format!("{}.{key}", self.architecture))
    }

    /// Returns a value of one layer, or the value that all layers share.
    fn at(&self, key: &str, layer: u64) -> Option<u64> {
        let key = format!("{}.{key}", self.architecture);
        self.header.list(&key).map_or_else(|| self.header.number(&key), |list| list.get(layer as usize).copied())
    }

    fn layer(&self, layer: u64, count: u64, embedding: u64) -> ModelLayer {
        if self.is_recurrent(layer) {
            return ModelLayer { state: self.state(embedding), ..ModelLayer::default() };
        }
        // The last layers may share the cache of earlier ones.
        let own = match self.architecture {
            "gemma3n" => 20,
            _ => count.saturating_sub(self.number("attention.shared_kv_layers").unwrap_or(0)),
        };
        if layer >= own {
            return ModelLayer::default();
        }
        let heads = self.at("attention.head_count", layer).unwrap_or(0);
        let kept = self.at("attention.head_count_kv", layer).unwrap_or(heads);
        let width = embedding.checked_div(heads).unwrap_or(0);
        let window = self.window().filter(|_| self.has_window(layer));
        let length = |name: &str| {
            let own = window.and_then(|_| self.number(&format!("attention.{name}_length_swa")));
            own.or_else(|| self.number(&format!("attention.{name}_length"))).unwrap_or(width)
        };
        // Multi-head latent attention (MLA) caches keys and values together.
        let latent = self.number("attention.key_length_mla").is_some();
        let v = if latent { 0 } else { length("value").saturating_mul(kept) };
        // Every layer of Falcon-H1 has both a cache and a state.
        let state = if self.architecture == "falcon-h1" { self.state(embedding) } else { 0 };
        ModelLayer { k: length("key").saturating_mul(kept), v, window, state }
    }

    /// Returns whether a layer keeps a state of fixed size instead of a cache.
    fn is_recurrent(&self, layer: u64) -> bool {
        if let Some(recurrent) = self.at("attention.recurrent_layers", layer) {
            return recurrent != 0;
        }
        match self.architecture {
            "mamba" | "mamba2" | "rwkv6" | "rwkv6qwen2" | "rwkv7" | "arwkv7" => true,
            "qwen3next" | "qwen35" | "qwen35moe" | "qwen4exp" | "minimax-01" => {
                !(layer + 1).is_multiple_of(self.number("full_attention_interval").unwrap_or(4).max(1))
            }
            _ => self.at("attention.head_count_kv", layer) == Some(0),
        }
    }

    /// Returns the bytes of a layer's recurrent state, which has 32-bit values.
    fn state(&self, embedding: u64) -> u64 {
        let number = |key: &str| self.number(key).unwrap_or(0);
        let inner = number("ssm.inner_size");
        let groups = number("ssm.group_count").saturating_mul(number("ssm.state_size")).saturating_mul(2);
        let convolution = number("ssm.conv_kernel").saturating_sub(1).saturating_mul(inner.saturating_add(groups));
        let short = number("shortconv.l_cache").saturating_sub(1).saturating_mul(embedding);
        let head = number("wkv.head_size").saturating_mul(embedding);
        let values = [convolution, number("ssm.state_size").saturating_mul(inner), short, head];
        values.into_iter().fold(0, u64::saturating_add).saturating_mul(4)
    }

    fn window(&self) -> Option<u64> {
        match self.architecture {
            "llama4" => Some(8192).filter(|_| self.number("attention.sliding_window") != Some(0)),
            // llama.cpp doesn't use its window.
            "phi3" => None,
            _ => self.number("attention.sliding_window").filter(|window| *window > 0),
        }
    }

    /// Returns whether a layer has the sliding window. The file lists these layers, or the architecture implies that
    /// one layer in every `period` has none.
    fn has_window(&self, layer: u64) -> bool {
        let pattern = "attention.sliding_window_pattern";
        if self.header.list(&format!("{}.{pattern}", self.architecture)).is_some() {
            return self.at(pattern, layer).is_some_and(|slides| slides != 0);
        }
        let (period, whole_first) = match self.architecture {
            "gemma2" | "gpt-oss" => (2, false),
            "gemma3n" => (5, false),
            "gemma3" => (6, false),
            "plamo3" => (8, false),
            "cohere2" | "exaone4" | "exaone-moe" | "llama4" | "olmo2" | "afmoe" | "mellum" => (4, false),
            "cohere2moe" | "smallthinker" | "laguna" => (4, true),
            // llama.cpp doesn't use the window of other architectures.
            _ => return false,
        };
        let period = self.number(pattern).unwrap_or(period);
        match layer.checked_rem(period) {
            None => true,
            Some(at) => {
                if whole_first {
                    at != 0
                } else {
                    at + 1 != period
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::gguf::tests::Written;

    const MEBIBYTE: f64 = 1024.0 * 1024.0;

    fn model(architecture: &str, numbers: &[(&str, u32)]) -> Written {
        let head = Written::default().text("general.architecture", architecture);
        numbers.iter().fold(head, |head, (key, number)| head.number(&format!("{architecture}.{key}"), *number))
    }

    /// Numbers: layers, embedding length, heads, KV heads, head width, feed-forward length.
    fn plain(architecture: &str, [layers, embedding, heads, kv_heads, width, forward]: [u32; 6]) -> Written {
        model(
            architecture,
            &[
                ("block_count", layers),
                ("embedding_length", embedding),
                ("feed_forward_length", forward),
                ("attention.head_count", heads),
                ("attention.head_count_kv", kv_heads),
                ("attention.key_length", width),
                ("attention.value_length", width),
            ],
        )
    }

    fn shape(written: &Written) -> Shape {
        Shape::of(&written.header()).expect("a model")
    }

    /// Compares with what llama-server b11434 logged for a model with these metadata on a machine without a GPU, in
    /// MiB: `KV buffer size` and `compute buffer size`.
    #[track_caller]
    fn expect(written: &Written, layout: &Layout, cache: f64, buffers: f64) {
        let shape = shape(written);
        let found = shape.cache(layout) as f64 / MEBIBYTE;
        assert!((found - cache).abs() < 0.01, "cache is {found} MiB, expected {cache}");
        let found = shape.buffers(layout) as f64 / MEBIBYTE;
        assert!((found / buffers - 1.0).abs() < 0.05, "buffers are {found} MiB, expected {buffers}");
    }

    fn layout() -> Layout {
        Layout::new(65_536)
    }

    #[test]
    fn dense_models_match_llama_server() {
        let llama = plain("llama", [16, 2048, 32, 8, 64, 8192]);
        expect(&llama, &layout(), 2048.0, 132.02);
        expect(&llama, &Layout::new(8192), 256.0, 76.02);
        expect(&llama, &layout().with_cache("q8_0"), 1088.0, 132.05);
        expect(&llama, &Layout { ubatch: 2048, ..layout() }, 2048.0, 528.07);
        expect(&llama, &Layout { flash_attention: false, ..layout() }, 2048.0, 4250.01);
        expect(&plain("qwen2", [28, 1536, 12, 2, 128, 8960]), &layout(), 1792.0, 131.52);
    }

    #[test]
    fn experts_determine_the_buffers() {
        let experts = |written: Written, architecture: &str, used, width| {
            written
                .number(&format!("{architecture}.expert_used_count"), used)
                .number(&format!("{architecture}.expert_feed_forward_length"), width)
        };
        let qwen = experts(plain("qwen3moe", [8, 2048, 32, 4, 128, 768]), "qwen3moe", 8, 768);
        expect(&qwen, &layout(), 1024.0, 152.02);
        expect(&qwen, &Layout::new(131_072).with_cache("q4_0"), 576.0, 216.10);
    }

    #[test]
    fn sliding_window_layers_cache_only_the_window() {
        let gemma = plain("gemma3", [34, 2560, 8, 4, 256, 10_240]).number("gemma3.attention.sliding_window", 1024);
        expect(&gemma, &layout(), 1280.0 + 174.0, 150.53);
        expect(&gemma, &Layout { full_window: true, ..layout() }, 1280.0 + 7424.0, 213.03);
        let gpt = plain("gpt-oss", [6, 2880, 64, 8, 64, 2880])
            .number("gpt-oss.attention.sliding_window", 128)
            .number("gpt-oss.expert_used_count", 4)
            .number("gpt-oss.expert_feed_forward_length", 2880);
        expect(&gpt, &layout(), 384.0 + 4.5, 160.40);
        // llama.cpp doesn't use this window.
        let mistral = plain("llama", [16, 2048, 32, 8, 64, 8192]).number("llama.attention.sliding_window", 4096);
        expect(&mistral, &layout(), 2048.0, 132.02);
    }

    #[test]
    fn pattern_in_the_file_selects_the_window_layers() {
        let gemma = plain("gemma4", [4, 1024, 8, 4, 256, 4096])
            .number("gemma4.attention.sliding_window", 512)
            .number("gemma4.attention.key_length_swa", 128)
            .number("gemma4.attention.value_length_swa", 128)
            .number("gemma4.attention.shared_kv_layers", 1)
            .list("gemma4.attention.sliding_window_pattern", &[1, 1, 0, 0]);
        let (whole, window) = (2 * 2 * 4 * 256 * 65_536, 2 * 2 * 4 * 128 * 1024);
        assert_eq!(shape(&gemma).cache(&layout()), whole + 2 * window);
    }

    #[test]
    fn latent_attention_caches_keys_and_values_together() {
        let glm = plain("deepseek2", [8, 2048, 20, 1, 576, 10_240])
            .number("deepseek2.attention.key_length_mla", 256)
            .number("deepseek2.attention.value_length_mla", 256);
        expect(&glm, &layout(), 576.0, 144.01);
        expect(&glm, &layout().with_cache("q8_0"), 306.0, 144.01);
        // 8 of the built-in shape's 47 layers.
        assert_eq!(shape(&glm).cache(&layout()) * 47, Shape::glm_4_7_flash().cache(&layout()) * 8);
        assert_eq!(shape(&glm).buffers(&layout()), Shape::glm_4_7_flash().buffers(&layout()));
    }

    #[test]
    fn recurrent_state_does_not_grow_with_the_context() {
        let state =
            [("ssm.inner_size", 4096), ("ssm.state_size", 128), ("ssm.group_count", 16), ("ssm.conv_kernel", 4)];
        let qwen = state.iter().fold(plain("qwen3next", [8, 2048, 16, 2, 256, 5120]), |written, (key, number)| {
            written.number(&format!("qwen3next.{key}"), *number)
        });
        let per_token = 2 * 2 * 2 * 256;
        let shape = shape(&qwen);
        let grown = shape.cache(&layout()) - shape.cache(&Layout::new(32_768));
        assert_eq!(grown, 2 * per_token * 32_768, "two of eight layers have a cache");
        assert_eq!(shape.cache(&layout()) - 2 * per_token * 65_536, 6 * 4 * (3 * (4096 + 4096) + 128 * 4096));
        // Other models list the layers that have no cache.
        let jamba = model("jamba", &[("block_count", 2), ("embedding_length", 1024), ("attention.head_count", 8)])
            .list("jamba.attention.head_count_kv", &[0, 8]);
        assert_eq!(self::shape(&jamba).cache(&layout()), 2 * 2 * 1024 * 65_536);
    }

    #[test]
    fn invalid_metadata_give_no_shape_or_saturate() {
        assert_eq!(Shape::of(&Written::default().header()), None);
        assert_eq!(Shape::of(&plain("llama", [0, 1, 1, 1, 1, 1]).header()), None);
        assert_eq!(Shape::of(&plain("llama", [u32::MAX, 1, 1, 1, 1, 1]).header()), None);
        let huge = shape(&plain("llama", [4096, u32::MAX, u32::MAX, u32::MAX, u32::MAX, u32::MAX]));
        assert_eq!(huge.cache(&Layout::new(u32::MAX - 255)), u64::MAX);
        assert!(huge.buffers(&layout()) > u64::MAX / 1_000_000);
        // No division by zero heads.
        assert_eq!(shape(&plain("llama", [1, 1024, 0, 0, 0, 0])).cache(&layout()), 0);
    }
}
