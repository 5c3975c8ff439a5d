/** What happens while a study runs. Ids are those of the plan. */
export type StudyEvent =
  | {
      readonly type: "run_started";
      readonly id: string;
      readonly is_resumed: boolean;
      readonly note: string | undefined;
    }
  | { readonly type: "run_progress"; readonly id: string; readonly step: number; readonly steps: number }
  | { readonly type: "run_finished"; readonly id: string; readonly seconds: number }
  | { readonly type: "run_failed"; readonly id: string; readonly error: string; readonly log: string }
  | { readonly type: "run_skipped"; readonly id: string; readonly needs: string };
