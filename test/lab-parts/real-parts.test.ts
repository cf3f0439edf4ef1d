// The real parts that a lab fetches by itself, from servers on loopback.
import { execaSync } from "execa";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findParts } from "../../lab/real-parts.ts";
import { oneAtATime } from "../../release/one-at-a-time.ts";
import { onPath } from "../support/fakes.ts";
import { ReleaseWorld, RELEASE_TOOLS } from "../support/release-sources.ts";

const VERSION = "34.0.4";

describe.skipIf(!onPath(...RELEASE_TOOLS, "minisign"))("(gpg, zstd, minisign and others on PATH)", () => {
  let world: ReleaseWorld;
  let key: string;
  let root: string;
  let cache: string;
  const said: string[] = [];
  beforeAll(async () => {
    world = await ReleaseWorld.make();
    const words = ["-G", "-W", "-p", join(world.folder, "key.pub"), "-s", join(world.folder, "key")];
    execaSync("minisign", words);
    key = readFileSync(join(world.folder, "key.pub"), "utf8").trim().split("\n").at(-1) ?? "";
    return world.close;
  }, 60_000);
  beforeEach(async () => {
    said.length = 0;
    world.site.routes.clear();
    world.site.asked.length = 0;
    root = world.repository(["viewer", "deck"]);
    cache = join(root, "cache");
    const catalog = join(root, "spaces/catalog.yaml");
    // Nothing is pinned.
    const unpinned = readFileSync(catalog, "utf8").replaceAll(/^ {4}url: .*\n {4}sha256: .*\n/gm, "");
    writeFileSync(catalog, unpinned);
    const environment = join(root, "Pulumi.demo.yaml");
    writeFileSync(environment, readFileSync(environment, "utf8").replaceAll(/^ +sha256: .*\n/gm, ""));
    await world.serveNextcloud(VERSION);
    world.serveStore(VERSION, [await world.offer("deck", "1.16.2")]);
    for (const name of ["minio", "mc"]) serveBinary(name, Buffer.from(`the binary ${name}\n`));
  });

  const serveBinary = (name: string, bytes: Buffer) => {
    const file = join(world.folder, name);
    writeFileSync(file, bytes);
    const words = ["-S", "-s", join(world.folder, "key"), "-x", `${file}.minisig`, "-m", file];
    execaSync("minisign", [...words, "-t", `timestamp:1767225600\tfile:${name}`]);
    world.site.routes.set(`/${name}`, bytes);
    world.site.routes.set(`/${name}.minisig`, readFileSync(`${file}.minisig`));
  };
  const find = (given: Parameters<typeof findParts>[0] = {}) =>
    findParts(given, {
      root,
      env: "demo",
      cache,
      sources: world.sources,
      binaries: { minio: `${world.site.address}/minio`, mc: `${world.site.address}/mc` },
      keys: { minio: key, mc: key },
      say: (text) => void said.push(text),
    });

  it("are fetched, checked by their signatures, and kept", async () => {
    const { parts, missing } = await find();
    const [archive = ""] = parts.nextcloud ?? [];
    expect(archive).toMatch(/\/archives\/nextcloud-34\.0\.4-[0-9a-f]{12}\.tar\.zst$/);
    expect(readFileSync(parts.minio ?? "", "utf8")).toBe("the binary minio\n");
    expect(readFileSync(parts.mc ?? "", "utf8")).toBe("the binary mc\n");
    // Nothing of the repository changed.
    expect(readFileSync(join(root, "spaces/catalog.yaml"), "utf8")).not.toContain(".tar.zst");
    expect(missing).toEqual({
      imaginary: "nobody publishes a signed binary of imaginary: build it, and give --imaginary PATH.",
    });
    // A second lab asks nobody.
    world.site.asked.length = 0;
    expect((await find()).parts).toEqual(parts);
    expect(world.site.asked).toEqual([]);
  });

  it("are fetched again if the catalog has other apps", async () => {
    const { parts } = await find();
    const catalog = join(root, "spaces/catalog.yaml");
    writeFileSync(
      catalog,
      readFileSync(catalog, "utf8").replace("[viewer, deck]", "[viewer, deck, calendar]"),
    );
    world.serveStore(VERSION, [await world.offer("deck", "1.16.2"), await world.offer("calendar", "5.4.0")]);
    expect((await find()).parts.nextcloud).not.toEqual(parts.nextcloud);
  });

  it("are fetched again for each release that a wave is on", async () => {
    const NEXT = "34.0.5";
    await world.serveNextcloud(NEXT);
    const offers = [await world.offer("deck", "1.16.2"), await world.offer("calendar", "5.4.0")];
    for (const version of [VERSION, NEXT]) world.serveStore(version, offers);
    const catalog = join(root, "spaces/catalog.yaml");
    const waves = readFileSync(catalog, "utf8")
      .replace(`canary: ${VERSION}`, `canary: ${NEXT}`)
      .replace(`  ${VERSION}:\n`, `  ${VERSION}:\n    state: current\n  ${NEXT}:\n`);
    writeFileSync(catalog, waves);
    const before = (await find()).parts.nextcloud ?? [];
    expect(before.map((path) => /nextcloud-([\d.]+)-/.exec(path)?.[1])).toEqual([VERSION, NEXT]);
    writeFileSync(catalog, waves.replace("[viewer, deck]", "[viewer, deck, calendar]"));
    // As a run that is killed, this one ends before the archive is built.
    world.serveStore(VERSION, []);
    expect((await find()).missing.nextcloud).toContain("calendar");
    world.serveStore(VERSION, offers);
    const after = (await find()).parts.nextcloud ?? [];
    for (const [index, path] of after.entries()) expect(path).not.toBe(before[index]);
  });

  it("wait for no other command that works in the same folder, and say which one it is", async () => {
    await oneAtATime(cache, async () => {
      const { missing } = await find();
      expect(missing.nextcloud).toContain(`${cache} is in use by process ${process.pid}`);
    });
    expect((await find()).missing.nextcloud).toBeUndefined();
  });

  it("are not looked for if they are given", async () => {
    const given = { nextcloud: ["/a"], minio: "/b", mc: "/c", imaginary: "/d" };
    expect(await find(given)).toEqual({ parts: given, missing: {} });
    expect(world.site.asked).toEqual([]);
  });

  it("are left out with the reason if nobody answers, and the others are still fetched", async () => {
    for (const path of world.site.routes.keys())
      if (!/^\/(minio|mc)/.test(path)) world.site.routes.delete(path);
    const { parts, missing } = await find();
    expect(parts.nextcloud).toBeUndefined();
    expect(missing.nextcloud).toMatch(/nextcloud\.asc.* answers 404/);
    expect(parts.minio).toBeDefined();
    expect(said.join("\n")).toContain(`nextcloud: ${missing.nextcloud}`);
  });

  it.each([
    [
      "a binary that is not what was signed",
      () => world.site.routes.set("/minio", Buffer.from("another binary\n")),
      "minio",
      /its signature is not one of the key/,
    ],
    [
      "a Nextcloud that somebody else signed",
      () => world.serveNextcloud(VERSION, { key: world.stranger }),
      "nextcloud",
      /Nextcloud 34\.0\.4/,
    ],
  ] as const)("do not contain %s", async (_, spoil, part, why) => {
    await spoil();
    const { parts, missing } = await find();
    expect(parts[part]).toBeUndefined();
    expect(missing[part]).toMatch(why);
  });

  it("are those that the configuration pins, if it pins any", async () => {
    const bytes = Buffer.from("a maintained build\n");
    world.site.routes.set("/maintained", bytes);
    const environment = join(root, "Pulumi.demo.yaml");
    const { stdout } = execaSync("sha256sum", { input: bytes });
    const pin = (sha256: string) =>
      writeFileSync(
        environment,
        readFileSync(environment, "utf8").replace(
          /^( +)minio:\n +url: .*\n(?: +sha256: .*\n)?/m,
          `$1minio:\n$1  url: ${world.site.address}/maintained\n$1  sha256: ${sha256}\n`,
        ),
      );
    pin(stdout.slice(0, 64));
    const { parts } = await find();
    expect(readFileSync(parts.minio ?? "", "utf8")).toBe("a maintained build\n");
    pin("c".repeat(64));
    const { missing } = await find();
    expect(missing.minio).toMatch(/serves [0-9a-f]{64}, not the pinned c{64}; it was not kept\./);
    rmSync(cache, { recursive: true });
    mkdirSync(cache);
  });
});
