/* The methods of -method, one row each; help, manual, completion and the runs read it. It is included where a table is
 * made of it, after the two macros are defined, and takes them away again.
 *
 * CP_METHOD_OF_FRAME(name, function, contributes, meaning): a score that needs no options, by a function in plugin/score,
 *     cp_status FUNCTION(cp_frame *frame, int image, const cp_response *response, float *score)
 * to which the frame brings the run of the image. It fills score[N], 0 for the response's own units.
 * CP_METHOD(name, run, leave, contributes, meaning): one that reads options; `run` and `leave` are those of cp_method
 * (cli/pathway.h), in cli/methods.c or cli/recompute.c.
 * contributes: scores are contributions to the response, with their signs; else they only order the neurons. */
CP_METHOD("mct", score_mct, cp_scores_mct, true,
          "NeuronMCT: the size of activation times gradient; one forward and one backward pass")
CP_METHOD("intgrad", cp_method_intgrad, NULL, true,
          "NeuronIntGrad: gradients integrated from an inactive layer to the activations, layer by layer")
CP_METHOD("lrp", score_lrp, NULL, true,
          "LRP-gamma: relevance that favours what speaks for the response; few of its neurons carry the answer together")
CP_METHOD("eapig", cp_method_eapig, NULL, true,
          "gradients averaged between a baseline input (black, or -baseline) and the photo, times the change in between")
CP_METHOD("ablation", cp_method_ablation, NULL, true,
          "how much the response drops when a neuron alone is set to zero; a forward pass for each")
CP_METHOD("shapley", cp_method_shapley, NULL, true,
          "Shapley values of a layer's neurons, from drawn orders; exact in small layers")
CP_METHOD("greedy", score_greedy, NULL, false,
          "pathway greedy: takes out what the response misses least, until -sparsity is reached")
CP_METHOD("dgr", score_dgr, NULL, false,
          "distillation guided routing: gates that keep the softmax while their sum falls")
CP_METHOD("dgr-random", score_dgr_random, NULL, false,
          "dgr whose gates start at random")
CP_METHOD("dgr-active", score_dgr_active, NULL, false,
          "dgr in which neurons that were dead stay out")
CP_METHOD("effective", score_effective, NULL, false,
          "effective path: from the response down, of each unit the inputs that it needed; whatever the sparsity")
CP_METHOD("random", score_random, NULL, false,
          "neurons in random order, to compare with")
CP_METHOD_OF_FRAME("activation", cp_score_activation, false,
                   "the size of the activation alone, to compare with")
CP_METHOD("active", score_active, NULL, false,
          "all neurons that are not zero, whatever the sparsity")

#undef CP_METHOD
#undef CP_METHOD_OF_FRAME
