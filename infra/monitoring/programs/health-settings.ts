// The form of /etc/framaspace/health/settings: infra/monitoring/monitoring.ts writes it, and platform-health reads it.
export interface HealthSettings {
  /** Address of the administrators. */
  mail: string;
  /** Name of the machine. */
  redis: string;
  /** Names of all machines that are to answer. */
  machines: readonly string[];
}
