/* Threads that sleep while they wait, and none that nobody needs. */
#ifndef CP_CLI_OMP_WAIT_H
#define CP_CLI_OMP_WAIT_H

/* OpenMP's threads spin while they wait, by default for milliseconds; on a machine that is busy with anything else each
 * loop then waits for a thread that is not running, and an explanation takes a hundred times as long. OpenBLAS starts threads of
 * its own, which the engine never uses, takes a work area of up to 128 MiB for each, and where it gets none (ulimit -v) asks for
 * it for ever. Both read their settings before main, so the program starts itself anew with them, unless the user chose others
 * (OMP_WAIT_POLICY or GOMP_SPINCOUNT; OPENBLAS_NUM_THREADS, GOTO_NUM_THREADS or OMP_NUM_THREADS). Returns where that is not
 * possible, or where a debugger or valgrind watches the program. */
void cp_start_with_quiet_threads(void);

#endif
