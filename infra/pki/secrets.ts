// Derives every secret from one master secret, except those that people enter. So each stack knows every secret without
// reading another stack, and a lost machine gets the same secrets again.
import * as pulumi from "@pulumi/pulumi";
import { createHmac } from "node:crypto";
import type {
  MachineSecret,
  SecretOwner,
  SecretPurpose,
  SpaceSecret,
  TRUSTED_OWNERS,
} from "../inventory/secret-names.ts";

/** Derives the secrets of one environment: HMAC-SHA-256(master, "<environment>/<owner>/<purpose>/<generation>"). */
export class Secrets {
  readonly #master: string;
  readonly #environment: string;
  readonly #generations: Readonly<Record<string, number>>;

  constructor(master: string, environment: string, generations: Readonly<Record<string, number>>) {
    this.#master = master;
    this.#environment = environment;
    this.#generations = generations;
  }

  /** The generation of a secret that is in use. */
  generation<Owner extends SecretOwner>(owner: Owner, purpose: SecretPurpose<Owner>): number {
    return this.#generation(owner, purpose);
  }

  /**
   * The generations of a key that machines trust: the one in use first, then all up to `<owner>/trusted`. So every
   * machine trusts a new key before it is used, and the old key as long as it is used
   * (docs/runbooks/rotate-a-secret.md).
   */
  trusted<Owner extends (typeof TRUSTED_OWNERS)[number]>(
    owner: Owner,
    purpose: SecretPurpose<Owner>,
  ): number[] {
    const used = this.#generation(owner, purpose);
    const other = this.#generations[`${owner}/trusted`] ?? used;
    return Array.from(
      { length: Math.abs(other - used) + 1 },
      (_, index) => used + index * Math.sign(other - used),
    );
  }

  /** 32 bytes in plain text, to build keys from. Never pass them to a resource. */
  seed<Owner extends SecretOwner>(owner: Owner, purpose: SecretPurpose<Owner>, generation?: number): Buffer {
    return this.derive(owner, purpose, generation);
  }

  /** The same for a machine. */
  machineSeed(name: string, purpose: MachineSecret): Buffer {
    return this.derive(name, purpose);
  }

  /** The same for a space. */
  spaceSeed(id: string, purpose: SpaceSecret): Buffer {
    return this.derive(id, purpose);
  }

  /**
   * A password of 40 characters (240 bits), letters, digits, `-` and `_`: safe in every shell, URL and SQL literal.
   * 40 is the longest secret key that MinIO accepts (internal/auth/credentials.go, secretKeyMaxLen).
   */
  password<Owner extends SecretOwner>(owner: Owner, purpose: SecretPurpose<Owner>): pulumi.Output<string> {
    return asPassword(this.derive(owner, purpose));
  }

  /** The same in plain text, for a connection of this process itself. Never pass it to a resource. */
  plainPassword<Owner extends SecretOwner>(owner: Owner, purpose: SecretPurpose<Owner>): string {
    return passwordOf(this.derive(owner, purpose));
  }

  /** A space's, as a secret. */
  spacePassword(id: string, purpose: SpaceSecret): pulumi.Output<string> {
    return asPassword(this.derive(id, purpose));
  }

  #generation(owner: string, purpose: string): number {
    return this.#generations[`${owner}/${purpose}`] ?? 1;
  }

  protected derive(owner: string, purpose: string, generation = this.#generation(owner, purpose)): Buffer {
    return createHmac("sha256", this.#master)
      .update(`${this.#environment}/${owner}/${purpose}/${generation}`)
      .digest();
  }
}

const asPassword = (seed: Buffer) => pulumi.secret(passwordOf(seed));

const passwordOf = (seed: Buffer) => seed.subarray(0, 30).toString("base64url");
