/* Threads that sleep while they wait. */
#ifndef CP_CLI_PATIENT_H
#define CP_CLI_PATIENT_H

/* OpenMP's threads spin while they wait, by default for milliseconds; on a machine that is busy with anything else each
 * loop then waits for a thread that is not running, and an explanation takes a hundred times as long. The runtime reads
 * its policy before main, so the program starts itself anew with it, unless the user chose one (OMP_WAIT_POLICY or
 * GOMP_SPINCOUNT). Returns where that is not possible. */
void cp_threads_sleep_while_waiting(void);

#endif
