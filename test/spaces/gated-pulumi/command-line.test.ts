import { describe, expect, test } from "vitest";
import { readCommandLine } from "../../../spaces/gated-pulumi/command-line.ts";
import { UserError } from "../../../validation/user-error.ts";

const wordsFor = (...typed: string[]) => readCommandLine(typed).words;

describe("the words for the Pulumi CLI", () => {
  test.each(["up", "preview"])("%s of a platform looks first which machines are there", (command) => {
    const words = wordsFor(command, "--stack", "prod-platform");
    expect(words.slice(0, 3)).toEqual([command, "--stack", "prod-platform"]);
    expect(words).toContain("--refresh");
    expect(words).toContain("--policy-pack=policies");
    expect(words.join(" ")).toContain("--config-file Pulumi.prod.yaml");
  });

  test("leave that to whoever says otherwise", () => {
    const words = wordsFor("up", "--stack", "prod-platform", "--refresh=false");
    expect(words.filter((word) => word.startsWith("--refresh"))).toEqual(["--refresh=false"]);
  });

  test("destroy of a platform is as it is", () => {
    expect(wordsFor("destroy", "--stack", "prod-platform")).not.toContain("--refresh");
  });

  test("refuse to look within an up of spaces, where a bucket could be forgotten", () => {
    const typed = () => wordsFor("up", "--stack", "prod-spaces-001", "--refresh");
    expect(typed).toThrow(UserError);
    expect(typed).toThrow("--refresh is a step of its own for spaces");
  });

  test.each([[], ["up"], ["--stack", "prod-platform"], ["cancel", "--stack", "prod-platform"]])(
    "say how to type them: %s",
    (...typed) => expect(() => readCommandLine(typed)).toThrow("npm run pulumi -- COMMAND --stack STACK"),
  );
});
