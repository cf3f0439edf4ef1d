// Attacks on object storage from a web server, as PHP that an attacker controls could make them: with a space's own key
// on the data of others, with no key, and with the forged requests that MinIO's last free release accepts as signed
// (docs/decisions/0018-s3-proxy.md). Whatever the answer is, the target must not change.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PORTS } from "../../infra/machine/firewall.ts";
import { STORAGE_ROOT } from "../../infra/inventory/names.ts";
import { sharedLab as lab, storageWords } from "../support/suite-lab.ts";

const [A, B] = ["iris", "lotus"];
const OWN = `space-${A}`;
const OTHER = `space-${B}`;
const DAY = new Date().toISOString().slice(0, 10).replaceAll("-", "");
const missing = storageWords().length === 0;

/**
 * Runs bash on a web server. There, `s3 METHOD PATH OPTION…` sends a request signed with A's key, and `ask` an unsigned
 * one with its path unchanged. Each prints a line with status and body.
 */
const onWeb = (script: string, port: number = PORTS.s3, machine = "web-1") =>
  lab.on(
    machine,
    `bash <<'END_OF_SCRIPT'
key=$(sed -n 's/.*"s3":{[^}]*"secret":"\\([^"]*\\)".*/\\1/p' /srv/spaces/${A}/config/space.json)
ask() { send "$@" --path-as-is; }
send() { curl -sS -m "\${PATIENCE:-20}" -o /tmp/s3-answer -w '%{http_code} ' -X "$1" "https://storage-a1:${port}$2" "\${@:3}" 2>&1; head -c 300 /tmp/s3-answer 2>/dev/null | tr -d '\\n'; echo; rm -f /tmp/s3-answer; }
s3() { send "$@" -K - <<<"user = \\"${A}:$key\\"
aws-sigv4 = \\"aws:amz:us-east-1:s3\\""; }
${script}
END_OF_SCRIPT`,
  );

/** Everything in the buckets that are not A's, including old versions, as one text. */
const foreign = async () =>
  createHash("sha256")
    .update(
      await lab.on(
        "ops-1",
        `for bucket in ${OTHER} archive; do mc ls --json --recursive --versions serving/$bucket | jq -c '[.key, .versionId, .etag, .size]' | sort; done; mc ls serving | sort`,
      ),
    )
    .digest("hex");

/** Headers of an upload that claims to come from a user, with an invalid signature. */
const forged = (user: string) =>
  [
    `Authorization: AWS4-HMAC-SHA256 Credential=${user}/${DAY}/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${"0".repeat(64)}`,
    "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    `x-amz-date: ${DAY}T000000Z`,
    "x-amz-decoded-content-length: 7",
    "x-amz-trailer: x-amz-checksum-crc32",
  ]
    .map((header) => `-H '${header}'`)
    .join(" ");
/**
 * Seven bytes in one chunk, with the checksum that follows it (CRC-32 of "forged
 * ").
 */
const CHUNKED = String.raw`--data-binary $'7\r\nforged\n\r\n0\r\nx-amz-checksum-crc32:1lN2UQ==\r\n\r\n'`;
const inAddress = (user: string) =>
  `X-Amz-Credential=${user}%2F${DAY}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=${DAY}T000000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=600000&X-Amz-Signature=${"0".repeat(64)}`;
const unsigned =
  "-H 'x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER' -H 'x-amz-decoded-content-length: 7'";

/** The users that an attack could name: the other space, the platform's own users, and MinIO's root. */
const USERS = [B, "backup", STORAGE_ROOT];

/** Ways to write to the other bucket in the name of a user. */
const forgeries = (user: string): [string, string][] => [
  [
    "an archive that MinIO unpacks",
    `ask PUT /${OTHER}/attack.tar ${forged(user)} -H 'x-amz-meta-snowball-auto-extract: true' ${CHUNKED}`,
  ],
  [
    "the same with the header twice",
    `ask PUT /${OTHER}/attack.tar -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' ${forged(user)} -H 'x-amz-meta-snowball-auto-extract: true' ${CHUNKED}`,
  ],
  ["an upload with an invalid signature", `ask PUT /${OTHER}/attacked ${forged(user)} ${CHUNKED}`],
  [
    "an upload with the name in its address",
    `ask PUT '/${OTHER}/attacked?${inAddress(user)}' ${unsigned} ${CHUNKED}`,
  ],
  [
    "the same with a hidden name",
    `ask PUT '/${OTHER}/attacked?${inAddress(user).replaceAll("X-Amz", "X%2DAmz")}' ${unsigned} ${CHUNKED}`,
  ],
  [
    "signed with the own key, the other user in the address",
    `s3 PUT '/${OTHER}/attacked?${inAddress(user)}' --data-binary x`,
  ],
  [
    "a part of an upload",
    `ask PUT '/${OTHER}/attacked?partNumber=1&uploadId=x&${inAddress(user)}' ${unsigned} ${CHUNKED}`,
  ],
  [
    "signed by an older method",
    `ask PUT /${OTHER}/attacked -H 'Authorization: AWS ${user}:AAAAAAAAAAAAAAAAAAAAAAAAAAA=' --data-binary x`,
  ],
];

describe.skipIf(missing)(
  `a web server and object storage${missing ? " (skipped: FRAMASPACE_MINIO and FRAMASPACE_MC name no MinIO)" : ""}`,
  () => {
    let before: string;

    beforeAll(async () => {
      await lab.prepare();
      await lab.on("ops-1", `echo "of ${B}" | mc pipe --quiet serving/${OTHER}/attacked`);
      before = await foreign();
    });
    afterAll(async () => {
      await lab.on(
        "ops-1",
        `for bucket in ${OWN} ${OTHER}; do mc rm --quiet --recursive --force --versions serving/$bucket/attacked; done; mc rm --quiet --recursive --force --versions serving/${OWN}/attack; true`,
      );
      await lab.remove();
    });

    test("a space's key writes, lists, reads and deletes in its own bucket (otherwise the tests below prove nothing)", async () => {
      const said = await onWeb(`
        s3 PUT /${OWN}/attacked -H 'content-type: application/octet-stream' --data-binary mine
        s3 GET '/${OWN}?list-type=2&prefix=attacked'
        s3 GET /${OWN}/attacked
        s3 DELETE /${OWN}/attacked
        s3 GET /${OWN}/attacked`);
      const answers = said.split("\n");
      expect(answers.map((line) => line.slice(0, 3))).toEqual(["200", "200", "200", "204", "404"]);
      expect(answers[1]).toContain("<Key>attacked</Key>");
      expect(answers[2]).toBe("200 mine");
    });

    const ATTACKS: [string, string][] = [
      ["list another's bucket", `s3 GET '/${OTHER}?list-type=2'`],
      ["list its versions", `s3 GET '/${OTHER}?versions'`],
      ["read", `s3 GET /${OTHER}/attacked`],
      ["ask for its size", `s3 HEAD /${OTHER}/attacked -I`],
      ["write", `s3 PUT /${OTHER}/attacked --data-binary x`],
      ["delete", `s3 DELETE /${OTHER}/attacked`],
      ["begin an upload in parts", `s3 POST '/${OTHER}/attacked?uploads='`],
      ["copy from it", `s3 PUT /${OWN}/attacked -H 'x-amz-copy-source: /${OTHER}/attacked'`],
      ["copy to it", `s3 PUT /${OTHER}/attacked -H 'x-amz-copy-source: /${OWN}/attacked'`],
      ["read by a path with dots", `s3 GET /${OWN}/../${OTHER}/attacked`],
      ["read by escaped dots", `s3 GET /${OWN}/%2e%2e/${OTHER}/attacked`],
      ["the archive of all spaces", "s3 GET '/archive?list-type=2'"],
      ["the backups", "s3 GET '/backup?list-type=2'"],
      ["remove an old version of its own", `s3 DELETE '/${OWN}/attacked?versionId=null'`],
      [
        "make its own bucket public",
        `s3 PUT '/${OWN}?policy' --data-binary '{"Version":"2012-10-17","Statement":[]}'`,
      ],
      ["stop versions", `s3 PUT '/${OWN}?versioning' --data-binary '<VersioningConfiguration/>'`],
      ["let everything expire", `s3 PUT '/${OWN}?lifecycle' --data-binary '<LifecycleConfiguration/>'`],
      ["get events of others' writes", `s3 GET '/${OTHER}?events=s3:ObjectCreated:*'`],
      ["search in objects", `s3 POST '/${OWN}/attacked?select&select-type=2' --data-binary '<x/>'`],
      ["delete the other's bucket", `s3 DELETE /${OTHER}`],
      ["make a bucket", "s3 PUT /space-attack"],
      ["get a temporary key", "s3 POST '/?Action=AssumeRole&Version=2011-06-15'"],
      ["get a temporary key by a form", "s3 POST / --data-binary 'Action=AssumeRole&Version=2011-06-15'"],
      ["make itself a key", "s3 PUT /minio/admin/v3/add-service-account --data-binary '{}'"],
      ["see the users", "s3 GET /minio/admin/v3/list-users"],
      ["see the servers", "s3 GET /minio/admin/v3/info"],
      ["see figures", "ask GET /minio/v2/metrics/cluster"],
      ["see health", "ask GET /minio/health/cluster"],
      [
        "speak as a node",
        "ask GET /minio/grid/v1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=='",
      ],
      ["speak as a node with dots in the path", `ask GET /${OWN}/../minio/grid/v1`],
      ["speak as a node with an escape in the path", "ask GET /%6dinio/grid/v1"],
      ["ask a node's drive", "ask POST /minio/storage/srv/minio/drive-1/v63/rver"],
      ["without a key, list", `ask GET '/${OWN}?list-type=2'`],
      ["without a key, read", `ask GET /${OTHER}/attacked`],
      ["without a key, write by a form", `ask POST /${OTHER} -F key=attacked -F file=x`],
      ["by an address that is signed", `ask GET '/${OWN}/attacked?${inAddress(A)}'`],
    ];
    /** Each way in the name of each of these users. */
    const FORGERIES = USERS.flatMap((user) =>
      forgeries(user).map(([how, request]): [string, string] => [`${how}, in the name of ${user}`, request]),
    );
    const all = [...ATTACKS, ...FORGERIES];
    /** One connection to the machine for all, because connecting takes longer than the requests. */
    let answers: string[];
    beforeAll(async () => {
      answers = (await onWeb(all.map(([, request]) => request).join("\n"))).split("\n");
    });

    test.each(all)("cannot: %s", (name) => {
      expect(answers).toHaveLength(all.length);
      expect(answers[all.findIndex(([other]) => other === name)]).toMatch(/^(403|400) /);
    });

    test("MinIO's own port is unreachable", async () => {
      for (const machine of ["web-1", "postgres-1"])
        expect(await onWeb("PATIENCE=3 ask GET /minio/health/live", PORTS.minio, machine)).toMatch(
          /timed out|refused/i,
        );
    });

    test("after all of that, the data of others is unchanged", async () => {
      expect(await foreign()).toBe(before);
      expect(await lab.on("ops-1", `mc cat serving/${OTHER}/attacked`)).toBe(`of ${B}`);
    });

    test("what MinIO itself does with such a request: the reason for nginx", async () => {
      const ask = `curl -s -m 20 -o /dev/null -w '%{http_code}' -X PUT`;
      const url = `https://storage-a1:${PORTS.minio}/${OWN}`;
      const said = await lab.on(
        "ops-1",
        `bash <<'END_OF_SCRIPT'
cd "$(mktemp -d)" && echo x >attack && tar -cf evil.tar attack
${ask} ${url}/attack.tar ${forged(A)} -H 'x-amz-meta-snowball-auto-extract: true' --data-binary @evil.tar; echo
mc ls serving/${OWN}/attack | wc -l
END_OF_SCRIPT`,
      );
      const [status, written] = said.split("\n");
      console.log(
        `${A}'s name without its key, at MinIO itself: ${status}, ${written} objects written; a release that refuses this no longer needs nginx for it`,
      );
      expect(said).toMatch(/^\d{3}\n[01]$/);
    });
  },
);
