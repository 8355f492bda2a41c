# Made by shell/release.sh. Put it in the Formula folder of a Homebrew tap.
class Lclaude < Formula
  desc "@DESCRIPTION@"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    on_arm do
      url "@REPOSITORY@/releases/download/v@VERSION@/lclaude-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256_AARCH64_APPLE_DARWIN@"
    end
    on_intel do
      url "@REPOSITORY@/releases/download/v@VERSION@/lclaude-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256_X86_64_APPLE_DARWIN@"
    end
  end

  on_linux do
    on_arm do
      url "@REPOSITORY@/releases/download/v@VERSION@/lclaude-@VERSION@-aarch64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256_AARCH64_UNKNOWN_LINUX_MUSL@"
    end
    on_intel do
      url "@REPOSITORY@/releases/download/v@VERSION@/lclaude-@VERSION@-x86_64-unknown-linux-musl.tar.gz"
      sha256 "@SHA256_X86_64_UNKNOWN_LINUX_MUSL@"
    end
  end

  def install
    bin.install "bin/lclaude"
    man1.install "share/man/man1/lclaude.1"
    bash_completion.install "share/bash-completion/completions/lclaude"
    zsh_completion.install "share/zsh/site-functions/_lclaude"
    fish_completion.install "share/fish/vendor_completions.d/lclaude.fish"
    (buildpath/"share/lclaude/installed-by").atomic_write "homebrew\n"
    pkgshare.install Dir["share/lclaude/*"]
  end

  def caveats
    <<~EOS
      To make `claude` run lclaude in projects with a .lclaude.toml, add to
        ~/.bashrc                   . #{opt_pkgshare}/lclaude.bash
        ~/.zshrc                    . #{opt_pkgshare}/lclaude.zsh
        ~/.config/fish/config.fish  source #{opt_pkgshare}/lclaude.fish
      To set up a backend and a model: lclaude local setup
    EOS
  end

  test do
    assert_match "#{version} (lclaude, installed by Homebrew)", shell_output("#{bin}/lclaude --version")
  end
end
