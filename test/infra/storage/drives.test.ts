// Which drives a storage server formats: those that are blank, and no others. Told by the script's own function, with the
// tools of util-linux, of files in a drive's place.
import { execa } from "execa";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

const SYSTEM = "/usr/sbin:/sbin:/usr/bin:/bin";
const missing = ["wipefs", "blkid", "mkfs.ext4"].filter(
  (tool) => !SYSTEM.split(":").some((folder) => existsSync(join(folder, tool))),
);
const folder = mkdtempSync(join(tmpdir(), "framaspace-drives-"));
afterAll(() => rmSync(folder, { recursive: true }));

const script = readFileSync(join(import.meta.dirname, "../../../infra/storage/install.sh"), "utf8");
const functions = [/^probe\(\).*$/m, /^drive_state\(\) \{.*?^\}$/ms]
  .map((one) => one.exec(script)?.[0] ?? "")
  .join("\n");

let files = 0;
/** A file of 16 MB of zeros in a drive's place. */
function blankDrive(): string {
  const file = join(folder, `drive-${files++}`);
  writeFileSync(file, "");
  truncateSync(file, 16 * 1024 ** 2);
  return file;
}
const run = async (command: string) =>
  (await execa("bash", ["-euc", command], { stdin: "ignore", env: { PATH: SYSTEM } })).stdout;
const stateOf = (file: string) => run(`${functions}\ndrive_state ${file} minio-a1-1`);

function write(file: string, offset: number, text: string): void {
  const bytes = readFileSync(file);
  bytes.write(text, offset, "latin1");
  writeFileSync(file, bytes);
}

describe.skipIf(missing.length > 0)(
  `a drive${missing.length > 0 ? ` (skipped: ${missing.join(", ")} not installed)` : ""}`,
  () => {
    test("of zeros is blank", async () => expect(await stateOf(blankDrive())).toBe("blank"));

    test("with a file system is somebody's", async () => {
      const file = blankDrive();
      await run(`mkfs.ext4 -qF ${file}`);
      expect(await stateOf(file)).toBe("foreign");
    });

    test("with a partition table is somebody's", async () => {
      const file = blankDrive();
      write(file, 510, "\u0055\u00aa");
      write(file, 446 + 4, "\u0083");
      write(file, 446 + 12, "\u0001");
      expect(await stateOf(file)).toBe("foreign");
    });

    test("whose signature was damaged, with data behind it, is somebody's", async () => {
      const file = blankDrive();
      write(file, 8192, "what was once a file");
      expect(await stateOf(file)).toBe("foreign");
    });
  },
);
