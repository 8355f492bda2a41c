# Installs a Homebrew formula as Homebrew does, without Homebrew: formula.rb FORMULA PREFIX SYSTEM PROCESSOR, in the
# unpacked archive. Prints the address, the checksum and the caveats.
require "fileutils"
require "pathname"

FORMULA, PREFIX, SYSTEM, PROCESSOR = ARGV

class Pathname
  # As in Homebrew, an existing file too.
  def atomic_write(text)
    write(text)
  end

  def install(*sources)
    raise "nothing to install into #{self}" if sources.flatten.empty?

    FileUtils.mkdir_p(self)
    sources.flatten.each { |source| FileUtils.mv(source, self) }
  end
end

class Formula
  class << self
    attr_reader :texts, :tests

    %i[desc homepage version license url sha256].each do |name|
      define_method(name) do |text|
        raise "#{name} is there twice" if (@texts ||= {}).key?(name)

        @texts[name] = text
      end
    end

    { on_macos: "macos", on_linux: "linux", on_arm: "arm", on_intel: "intel" }.each do |name, word|
      define_method(name) { |&block| block.call if [SYSTEM, PROCESSOR].include?(word) }
    end

    def test(&block)
      @tests = block
    end
  end

  # https://docs.brew.sh/Formula-Cookbook#variables-for-directory-locations
  { bin: "bin", man1: "share/man/man1", bash_completion: "etc/bash_completion.d", pkgshare: "share/lclaude",
    zsh_completion: "share/zsh/site-functions", fish_completion: "share/fish/vendor_completions.d" }.each do |name, place|
    define_method(name) { Pathname(PREFIX)/place }
  end

  def buildpath
    Pathname.pwd
  end

  def opt_pkgshare
    "/opt/homebrew/opt/lclaude/share/lclaude"
  end

  def version
    self.class.texts[:version]
  end

  def shell_output(command)
    output = `#{command}`
    raise "#{command} failed" unless $?.success?

    output
  end

  def assert_match(expected, text)
    raise "#{expected} is not in #{text}" unless text.include?(expected)
  end
end

load FORMULA
formula = Lclaude.new
formula.install
puts Lclaude.texts.values_at(:url, :sha256), formula.caveats
formula.instance_eval(&Lclaude.tests) if ENV["RUN_TEST"]
