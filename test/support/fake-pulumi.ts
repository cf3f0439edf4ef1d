// A fake of the Pulumi CLI that keeps one stack's state in a file.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { fake } from "./fakes.ts";

const MINIO_PROVIDER = "pulumi:providers:minio";
const BUCKET = "minio:index/s3Bucket:S3Bucket";

/** A stack's state as the CLI exports it: MinIO's provider and buckets by their names. */
export function stateWith(server: string, buckets: readonly string[]): string {
  const urn = (type: string, name: string) => `urn:pulumi:prod-spaces-999::framaspace::${type}::${name}`;
  const secret = { ciphertext: "v1:x", plaintext: JSON.stringify("secret") };
  const resources = [
    {
      urn: urn(MINIO_PROVIDER, "minio"),
      type: MINIO_PROVIDER,
      inputs: { minioServer: server, minioUser: "framaspace", minioPassword: secret },
    },
    ...buckets.map((name) => ({ urn: urn(BUCKET, name), type: BUCKET, id: name, inputs: {} })),
  ];
  return JSON.stringify({ version: 3, deployment: { resources } });
}

/**
 * `pulumi` in a folder of its own, removed after the test. `export` and `import` read and write the state; any other
 * command runs `script`, with the folder as `$FOLDER`.
 */
export class FakePulumi {
  readonly folder = mkdtempSync(join(tmpdir(), "pulumi-"));
  readonly program = join(this.folder, "pulumi");

  constructor(state: string, script = "") {
    onTestFinished(() => rmSync(this.folder, { recursive: true }));
    this.state = state;
    fake(
      this.program,
      `FOLDER=${this.folder}
      echo "$*" >>$FOLDER/calls
      case "$1 $2" in
        "stack export")
          echo . >>$FOLDER/exports
          [ "$(cat $FOLDER/fatal 2>/dev/null)" != "$(wc -l <$FOLDER/exports)" ] || { head -c 20 $FOLDER/state; kill -9 $$; }
          cat $FOLDER/state ;;
        "stack import")
          [ ! -e $FOLDER/no-import ] || { echo "no space left on device" >&2; exit 255; }
          cat >$FOLDER/state ;;
        *) ${script}
          : ;;
      esac`,
    );
  }

  get state(): string {
    return readFileSync(join(this.folder, "state"), "utf8");
  }
  set state(text: string) {
    writeFileSync(join(this.folder, "state"), text);
  }

  /** Kills the CLI in the middle of its nth export. */
  killExport(n: number): void {
    writeFileSync(join(this.folder, "fatal"), String(n));
  }

  refuseImport(): void {
    writeFileSync(join(this.folder, "no-import"), "");
  }

  /** The words of each call, in order. */
  get calls(): string[] {
    const file = join(this.folder, "calls");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }
}
