// Which drives a storage server formats: blank ones only. The script's own function decides, with the tools of
// util-linux, on files in place of drives.
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
/** A file of 16 MB of zeros in place of a drive. */
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
    test("is blank if it has only zeros", async () => expect(await stateOf(blankDrive())).toBe("blank"));

    test("is foreign if it has a file system", async () => {
      const file = blankDrive();
      await run(`mkfs.ext4 -qF ${file}`);
      expect(await stateOf(file)).toBe("foreign");
    });

    test("is foreign if it has a partition table", async () => {
      const file = blankDrive();
      write(file, 510, "\u0055\u00aa");
      write(file, 446 + 4, "\u0083");
      write(file, 446 + 12, "\u0001");
      expect(await stateOf(file)).toBe("foreign");
    });

    test("is foreign if its signature is damaged but data follows", async () => {
      const file = blankDrive();
      write(file, 8192, "what was once a file");
      expect(await stateOf(file)).toBe("foreign");
    });
  },
);
