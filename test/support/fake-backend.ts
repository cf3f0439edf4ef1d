// A fake of the Pulumi CLI that keeps many stacks, as far as a rollout asks for them: which there are, tags, locks, `up`.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { fake } from "./fakes.ts";

/**
 * `<stack>/updated` is the time at which a stack's state was last written, `<stack>/tag` its tag, `<stack>/lock` the
 * lines that name its locks. `up` of a stack with a file `<stack>/broken` fails with the events in that file, and
 * removes it if `<stack>/once` exists.
 */
const SCRIPT = String.raw`cd "$(dirname "$0")"
    echo "$*" >>calls
    stack=; events=; words=("$@")
    for ((i = 0; i < $#; i++)); do
      case \${words[i]} in --stack) stack=\${words[i + 1]} ;; --event-log) events=\${words[i + 1]} ;; esac
    done
    now() { date -u +%Y-%m-%dT%H:%M:%S.%3NZ; }
    case "$1 $2 $3" in
      "stack ls --json")
        first=1; printf '['
        for one in */updated; do
          [ -e "$one" ] || continue
          [ $first = 1 ] || printf ','
          first=0; printf '{"name":"%s","lastUpdate":"%s"}' "$(dirname "$one")" "$(cat "$one")"
        done
        echo ']' ;;
      "stack init --no-select") mkdir -p "$4"; now >"$4/updated" ;;
      "stack tag get") cat "$stack/tag" 2>/dev/null || exit 1 ;;
      "stack tag set") printf '%s' "$5" >"$stack/tag" ;;
      "cancel --yes --stack") rm -f "$stack/lock" ;;
      *) case $1 in
        up)
          if [ -e "$stack/lock" ]; then echo "error: the stack is currently locked by 1 lock(s)."; cat "$stack/lock"; exit 255; fi
          mkdir -p "$stack"
          [ ! -e slow ] || sleep "$(cat slow)"
          now >"$stack/updated"
          if [ -e "$stack/broken" ]; then cat "$stack/broken" >"$events"; [ ! -e "$stack/once" ] || rm "$stack/broken"; exit 255; fi
          echo '{"summaryEvent":{"resourceChanges":{"create":2,"same":1}}}' >"$events" ;;
        refresh)
          [ ! -e "$stack/unreadable" ] || { echo "error: no luck"; exit 255; }
          cat "$stack/drift" >"$events" 2>/dev/null || echo '{"summaryEvent":{"resourceChanges":{"same":3}}}' >"$events" ;;
        *) exit 2 ;;
      esac ;;
    esac`.replaceAll(String.raw`\${`, "${");

export class FakeBackend {
  readonly folder = mkdtempSync(join(tmpdir(), "pulumi-"));
  readonly cli = join(this.folder, "pulumi");

  constructor() {
    onTestFinished(() => rmSync(this.folder, { recursive: true }));
    fake(this.cli, SCRIPT);
  }

  /** Stacks in the order in which `up` was called for them. */
  get applied(): string[] {
    return this.calls.flatMap((call) => /^up --stack (\S+)/.exec(call)?.[1] ?? []);
  }

  /** The words of each call, in order. */
  get calls(): string[] {
    const file = join(this.folder, "calls");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }

  forgetCalls(): void {
    rmSync(join(this.folder, "calls"), { force: true });
  }

  /** Somebody else writes the stack's state now. */
  touch(stack: string): void {
    this.write(stack, "updated", new Date(Date.now() + 50).toISOString());
  }

  lock(stack: string, pid: number, host: string): void {
    this.write(
      stack,
      "lock",
      `  file:///x.json: created by root@${host} (pid ${pid}) at 2026-11-29T01:00:00Z\n`,
    );
  }

  /** `up` fails with this message. */
  break(stack: string, message: string, { once = false } = {}): void {
    const event = {
      diagnosticEvent: { urn: `urn:pulumi:${stack}::framaspace::x::lotus`, message, severity: "error" },
    };
    this.write(stack, "broken", `${JSON.stringify(event)}\n`);
    if (once) this.write(stack, "once", "");
  }

  /** Each `up` takes so long. */
  slowDown(seconds: number): void {
    writeFileSync(join(this.folder, "slow"), String(seconds));
  }

  write(stack: string, name: string, text: string): void {
    mkdirSync(join(this.folder, stack), { recursive: true });
    writeFileSync(join(this.folder, stack, name), text);
  }
}
